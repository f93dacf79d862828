"""Installs the runtime for a robot: the package paif_ros and its share files, nothing else."""

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = 'paif_ros'
VERSION = re.search(r"__version__ = '([^']+)'", Path(NAME, '__init__.py').read_text('utf-8'))
assert VERSION, 'paif_ros/__init__.py has no __version__'


def needed(name: str) -> list[str]:
    """Return what `pip install .[NAME]` brings: the lines of requirements/NAME.txt."""
    lines = Path('requirements', f'{name}.txt').read_text('utf-8').splitlines()
    return [line for line in lines if line and not line.startswith(('#', '-r'))]


setup(
    name=NAME,
    version=VERSION.group(1),
    # Named one by one: models, export, scenes and demo stay in the checkout, and so does torch.
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['parameters.yaml', 'py.typed', 'view/page/*', 'report/report.*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{NAME}/config', sorted(glob('config/*'))),
        (f'share/{NAME}/rviz', sorted(glob('rviz/*.rviz'))),
        (f'share/{NAME}/foxglove', sorted(glob('foxglove/*.json'))),
        # Each model with the pairs that an engine built of it is compared on.
        *(
            (f'share/{NAME}/models', sorted(glob(f'models/weights/*.{kind}')))
            for kind in ('onnx', 'parity.npz')
        ),
    ],
    install_requires=['setuptools'],
    extras_require={name: needed(name) for name in ('openvino', 'report', 'rerun')},
    zip_safe=False,
    maintainer='paif_ros maintainers',
    maintainer_email='maintainers@users.noreply.github.com',
    description='Fuses a thermal and an RGB camera into one picture and segments it.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            f'fusion = {NAME}.main:main',
            f'calibrate = {NAME}.calibrate:main',
            f'check_registration = {NAME}.check_registration:main',
            f'replay = {NAME}.replay.main:main',
            f'paif-replay = {NAME}.replay.main:main',
            f'panel = {NAME}.view.panel_node:main',
            f'view = {NAME}.view.__main__:main',
            f'paif-view = {NAME}.view.__main__:main',
            f'report = {NAME}.report.__main__:main',
            f'paif-report = {NAME}.report.__main__:main',
            f'rerun = {NAME}.view.rerun_node:main',
            f'paif-rerun = {NAME}.view.rerun_node:main',
        ]
    },
)
