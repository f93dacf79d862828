"""Top-k alignment over two data sets of any size: one sample in memory, the k best in a heap.

Each stage (`models.vision_alignment.state.STAGES`) reads samples once, one after the other. What
has to be read again is read from disk: patches are never kept. The state is saved every few
samples, and the same call goes on from there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
from tqdm import tqdm

from models.datasets.pair import LabelledPair
from models.vision_alignment.domain import CLASSES, Domain
from models.vision_alignment.errors import OutputError, TooFewPatchesError
from models.vision_alignment.gamma import apply_tables, fit_gammas, gamma_tables, level_counts
from models.vision_alignment.patches import Best, MeanOfPatches, Patch, Scored, score
from models.vision_alignment.settings import Card, Settings
from models.vision_alignment.state import STAGES, State
from models.vision_alignment.storage import Writer

SAVE_EVERY = 50

ROLES = ('target', 'external', 'training')
Place = tuple[str, int]  # role of a domain, number of a sample in it


class Alignment:
    """An alignment, begun or gone on with.

    Args:
        target: domain whose channel means are wanted; all of its patches are counted.
        external: domain to take patches from.
        writer: of the training set.
        settings: what decides it.
        training: the part of the target whose patches go into the training set, such as its
            training split; None for all of it.

    Raises:
        OutputError: the writer's state belongs to other settings or files.
    """

    def __init__(
        self,
        target: Domain,
        external: Domain,
        writer: Writer,
        settings: Settings,
        training: Domain | None = None,
    ) -> None:
        self.domains = dict(zip(ROLES, (target, external, training or target), strict=True))
        self.writer, self.settings = writer, settings
        self.resumed = writer.state.exists()
        self.state = State(self._key())
        if self.resumed:
            self.state = State.load(writer.state)
            if self.state.key != self._key():
                cure = f'choose another --out, or remove {writer.state}'
                raise OutputError(writer.state, 'is of other settings or pictures', cure)
        state = self.state
        self.means = MeanOfPatches(state.sums, state.pixels)
        self.best = Best(settings.k, state.offered, state.total, state.best)
        self.counts = np.array(state.counts, np.int64)
        self.chosen: set[Patch] = set()

    def run(self, save_every: int = SAVE_EVERY, classes: int = CLASSES) -> Card:
        """Do what is not done yet; a fresh run checks all files first.

        Args:
            save_every: samples between two savings of the state.
            classes: of the network, for the check of the labels.

        Returns:
            What was found. It is written with the training set too.

        Raises:
            DatasetError: something is wrong with the files.
            NoPatchesError: all pictures of a domain are smaller than a patch.
            TooFewPatchesError: k is larger than the number of external patches.
        """
        settings, state = self.settings, self.state
        if not self.resumed:
            size, external = (settings.patch, settings.stride, classes), self.domains['external']
            for domain in {id(self.domains[role]): self.domains[role] for role in ROLES}.values():
                found = domain.check(*size)
                if domain is external and found < settings.k:
                    raise TooFewPatchesError(external.folder, settings.k, found)
            self._save()
        for name in STAGES[settings.order][state.stage :]:
            self.chosen = {scored.patch for scored in self.best.kept}
            self._stage(name, save_every)
            if name == 'gather':
                self._fit()
            if name != 'write':
                state.stage, state.following = state.stage + 1, 0
                self._save()
        card = self._card()
        self.writer.close(card)
        return card

    def _stage(self, name: str, save_every: int) -> None:
        """Take each sample of a stage that is left."""
        state, places = self.state, self._places(name)
        if name == 'write' and not self.writer.resumable:
            state.following, state.written, state.before, state.after = 0, 0, 0.0, 0.0
        bar = tqdm(
            places[state.following :],
            desc=f'{state.stage + 1}/{len(STAGES[self.settings.order])} {name}',
            initial=state.following,
            total=len(places),
            unit='sample',
            mininterval=5,
        )
        for role, number in bar:
            patches = self.domains[role].patches(number, self.settings.patch, self.settings.stride)
            for patch, pair in patches:
                self._take(name, role, patch, pair)
            state.following += 1
            if state.following % save_every == 0:
                self._save()

    def _places(self, name: str) -> list[Place]:
        """Return the samples that a stage reads."""
        target, external, training = (
            [(role, number) for number in range(len(self.domains[role].samples))] for role in ROLES
        )
        chosen = {patch.sample for patch in self.chosen}
        needed = [place for place in external if place[1] in chosen]
        if name == 'target':
            return target
        if name == 'write':
            return (training if self.settings.target_patches else []) + needed
        return needed if name == 'gather' and self.settings.order == 'code' else external

    def _take(self, name: str, role: str, patch: Patch, pair: LabelledPair) -> None:
        """Do with one patch what a stage does."""
        if name == 'target':
            self.means.add(pair.visible)
        elif name == 'select':
            visible = pair.visible
            if self.state.gammas:
                visible = apply_tables(visible, gamma_tables(self.state.gammas))
            self.best.offer(Scored(score(visible, self.means.means), patch))
        elif name == 'gather':
            if self.settings.order == 'paper' or patch in self.chosen:
                self.counts += level_counts(pair.visible)
        elif role == 'training':
            self._write(pair)
        elif patch in self.chosen:
            tables = gamma_tables(self.state.gammas)
            aligned = replace(pair, visible=apply_tables(pair.visible, tables))
            self.state.before += score(pair.visible, self.means.means)
            self.state.after += score(aligned.visible, self.means.means)
            self._write(aligned)

    def _write(self, pair: LabelledPair) -> None:
        self.writer.add(self.state.written, pair)
        self.state.written += 1

    def _fit(self) -> None:
        """Fit the exponents, in the official order of channels: blue, green, red."""
        fit = fit_gammas(self.counts[::-1], self.means.means[::-1])
        self.state.gammas = list(fit.gammas[::-1])
        self.state.fit = [fit.before, fit.after, fit.converged, fit.restarts]

    def _key(self) -> str:
        """Return what the state depends on, as a digest."""
        files = [self.domains[role].files() for role in ROLES]
        text = json.dumps([asdict(self.settings), *files])
        return hashlib.sha256(text.encode()).hexdigest()

    def _save(self) -> None:
        state = self.state
        state.sums, state.pixels = self.means.sums.tolist(), self.means.pixels
        state.counts = self.counts.tolist()
        state.offered, state.total, state.best = (
            self.best.offered,
            self.best.total,
            self.best.items(),
        )
        state.save(self.writer.state)

    def _card(self) -> Card:
        state, area = self.state, self.settings.patch**2
        named = {role: [str(one.folder), one.split] for role, one in self.domains.items()}
        return Card(
            settings=asdict(self.settings) | named,
            target_patches=self.means.pixels // area,
            target_means=tuple(self.means.means.tolist()),
            external_patches=self.best.offered,
            external_score=self.best.total / self.best.offered,
            gammas=tuple(state.gammas),
            distance_before=state.fit[0],
            distance_after=state.fit[1],
            score_before=state.before / self.settings.k,
            score_after=state.after / self.settings.k,
            converged=bool(state.fit[2]),
            restarts=int(state.fit[3]),
            written=state.written,
        )
