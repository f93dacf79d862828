"""The CUDA runtime behind its checks: four versions of the bindings, and what can be missing."""

from __future__ import annotations

import sys

import cuda_standin
import pytest

from paif_ros.errors import EngineError
from paif_ros.tensorrt.cuda import Cuda, CudaError, Device

every_version = pytest.mark.parametrize('version', cuda_standin.VERSIONS)
OLD = ('12.3', '12.6')  # versions that raise where there is no driver


def start(monkeypatch: pytest.MonkeyPatch, version: str) -> cuda_standin.Gpu:
    gpu = cuda_standin.install(monkeypatch, version)
    gpu.driver = 13000 if version.startswith('13') else 12060
    return gpu


def test_four_versions_are_stood_in_for() -> None:
    assert cuda_standin.VERSIONS == ('12.3', '12.6', '12.8', '13.5')


@every_version
def test_describes_the_device(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    gpu = start(monkeypatch, version)
    driver = '13.0' if version == '13.5' else '12.6'
    total = gpu.memory
    assert Cuda().device() == Device('Orin', '8.7', total, total, True, driver, version)


@every_version
def test_memory_goes_there_and_back(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    gpu = start(monkeypatch, version)
    cuda = Cuda()
    stream, event = cuda.create_stream(), cuda.create_event()
    here, there, back = cuda.host_alloc(16), cuda.malloc(16), cuda.host_alloc(16)
    gpu.blocks[here].keep[:] = range(16)

    def work() -> None:
        cuda.copy_to_device(there, here, 16, stream)
        cuda.copy_to_host(back, there, 16, stream)

    work()
    assert set(gpu.blocks[back].keep) == {cuda_standin.FRESH}  # nothing is done before the wait
    cuda.wait(event, stream)
    assert list(gpu.blocks[back].keep) == list(range(16))
    graph = cuda.capture(stream, work)
    gpu.blocks[here].keep[:] = 7
    cuda.launch(graph, stream)
    cuda.wait(event, stream)
    assert set(gpu.blocks[back].keep) == {7}
    assert gpu.live == {'host': 2, 'device': 1, 'stream': 1, 'event': 1, 'executable': 1}
    cuda.destroy_graph(graph)
    cuda.free_host(here)
    cuda.free_host(back)
    cuda.free(there)
    cuda.destroy_event(event)
    cuda.destroy_stream(stream)
    assert not gpu.live


@every_version
def test_mapped_memory_has_an_address_on_each_side(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    start(monkeypatch, version)
    cuda = Cuda()
    mapped, plain = cuda.host_alloc(8, mapped=True), cuda.host_alloc(8)
    assert cuda.device_address(mapped) != mapped
    with pytest.raises(CudaError, match='cudaErrorInvalidValue'):
        cuda.device_address(plain)


@every_version
@pytest.mark.parametrize('spoil', ['allocates', 'raises', 'is refused'])
def test_a_capture_that_fails_leaves_the_stream_usable(
    monkeypatch: pytest.MonkeyPatch, version: str, spoil: str
) -> None:
    gpu = start(monkeypatch, version)
    cuda = Cuda()
    stream, event = cuda.create_stream(), cuda.create_event()
    here, there = cuda.host_alloc(4), cuda.malloc(4)

    def work() -> None:
        cuda.copy_to_device(there, here, 4, stream)
        if spoil == 'allocates':
            cuda.malloc(4)
        if spoil == 'raises':
            raise EngineError('tensorrt', 'inference failed')

    if spoil == 'is refused':
        gpu.fails['cudaGraphInstantiate'] = 'cudaErrorNotSupported'
    with pytest.raises(EngineError) as caught:
        cuda.capture(stream, work)
    words = {'allocates': 'cudaErrorStreamCaptureUnsupported', 'raises': 'inference failed'}
    assert words.get(spoil, 'cudaErrorNotSupported') in str(caught.value)
    assert gpu.live == {'stream': 1, 'event': 1, 'host': 1, 'device': 1}  # no graph is left
    gpu.blocks[here].keep[:] = 3
    cuda.copy_to_device(there, here, 4, stream)
    cuda.wait(event, stream)
    assert set(gpu.blocks[there].keep) == {3}


@pytest.mark.parametrize(
    ('error', 'remedy'),
    [
        ('cudaErrorMemoryAllocation', 'engine.workspace_mib'),
        ('cudaErrorIllegalAddress', 'restart the node'),
        ('cudaErrorECCUncorrectable', 'faulty'),
        ('cudaErrorNotPermitted', 'in words'),
    ],
)
def test_an_error_names_the_call_itself_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: str, remedy: str
) -> None:
    gpu = start(monkeypatch, '12.6')
    cuda = Cuda()
    gpu.fails['cudaMalloc'] = error
    with pytest.raises(CudaError) as caught:
        cuda.malloc(1)
    assert (caught.value.call, caught.value.name) == ('cudaMalloc', error)
    assert f'cuda: cudaMalloc failed with {error}: in words' in str(caught.value)
    assert remedy in str(caught.value)


@every_version
def test_without_a_driver(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    start(monkeypatch, version).driver = 0
    with pytest.raises(EngineError, match=r'no NVIDIA driver .*JetPack.*--gpus all') as caught:
        Cuda()
    assert ('libcuda.so.1' in str(caught.value)) == (version in OLD)


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    start(monkeypatch, '13.5').driver = 12060
    with pytest.raises(CudaError) as caught:
        Cuda()
    assert caught.value.name == 'cudaErrorInsufficientDriver'
    assert 'the driver is for CUDA 12.6, the bindings for 13.5' in str(caught.value)
    assert '"cuda-bindings==12.*"` on CUDA 12' in str(caught.value)


@every_version
def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    start(monkeypatch, version).count = 0
    with pytest.raises(CudaError, match=r'cudaErrorNoDevice.*CUDA_VISIBLE_DEVICES'):
        Cuda()


def test_without_the_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('cuda', 'cuda.bindings', 'cuda.bindings.runtime', 'cuda.cudart'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match=r'can not be imported .*cuda-bindings==13'):
        Cuda()
