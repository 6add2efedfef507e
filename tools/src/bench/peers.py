"""Runs a TorchScript network in onnxruntime and in OpenVINO, as `gst-torch bench detect --peers` asks.

Called as: python -c SCRIPT NETWORK.pt CHANNELS HEIGHT WIDTH CORES PRECISION
Needs:     pip install torch onnx onnxruntime openvino; what is not there is said, and the rest measured.

On standard output, one JSON value a line: first the list of what can be measured, {"name", "missing"}, where `missing`
says why it cannot. Then, for every line "INDEX RUNS" on standard input, {"seconds", "cpu"} of that many frames.

Both take the network from the same ONNX file, get fp32 input as their users give it, and hand out fp32.
"""

import importlib
import json
import os
import sys
import tempfile
import threading
import time
import warnings


def convert(archive, shape, path):
    """The network as ONNX, and its input and outputs for a picture of noise, to compare with."""
    import torch

    torch.set_num_threads(1)
    network = torch.jit.load(archive).eval()
    picture = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = network(picture)
        names = ["output%d" % i for i in range(1 if isinstance(outputs, torch.Tensor) else len(outputs))]
        torch.onnx.export(network, (picture,), path, dynamo=False, input_names=["input"], output_names=names)
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    return picture.numpy(), [output.numpy() for output in outputs]


def side_by_side(cores, runs, work):
    """`work(n)` in as many threads as there are cores, `runs` frames in all."""
    threads = [threading.Thread(target=work, args=(runs // cores,)) for _ in range(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def onnxruntime(path, picture, cores, _precision):
    """In fp32 whatever is asked for: its CPU provider has no bf16 convolutions."""
    import onnxruntime as runtime

    runtime.set_default_logger_severity(3)

    def session(threads):
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    wide, narrow = session(cores), session(1)

    def loop(which, runs):
        for _ in range(runs):
            which.run(None, {"input": picture})

    name = "onnxruntime %s fp32" % runtime.__version__
    outputs = wide.run(None, {"input": picture})
    yield name + ", all cores a frame", outputs, lambda runs: loop(wide, runs)
    yield name + ", one core a frame each", outputs, lambda runs: side_by_side(cores, runs, lambda n: loop(narrow, n))


def openvino(path, picture, cores, precision):
    import openvino as runtime

    core = runtime.Core()
    network = core.read_model(path)
    network.reshape(list(picture.shape))
    precision = {"fp32": "f32", "fp16": "f16"}.get(precision, precision)

    def compiled(streams):
        how = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": cores}
        return core.compile_model(network, "CPU", how)

    wide, narrow = compiled(1), compiled(cores)
    request, queue = wide.create_infer_request(), runtime.AsyncInferQueue(narrow, cores)

    def one(runs):
        for _ in range(runs):
            request.infer({0: picture}, share_inputs=True, share_outputs=True)

    def many(runs):
        for _ in range(runs):
            queue.start_async({0: picture}, share_inputs=True)
        queue.wait_all()

    name = "OpenVINO %s %s" % (runtime.__version__.split("-")[0], precision)
    one(1)
    outputs = [request.get_output_tensor(i).data.copy() for i in range(len(wide.outputs))]
    yield name + ", 1 stream of all cores", outputs, one
    yield name + ", %d streams of one core" % cores, outputs, many


def error(expected, got):
    """The largest difference, as a part of the largest number."""
    return max(float(abs(a - b).max() / abs(a).max()) for a, b in zip(expected, got, strict=True))


def absent(packages):
    """Those of the packages that cannot be imported."""
    missing = []
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            missing.append(package)
    return missing


def contenders(archive, shape, cores, precision, folder):
    """Pairs of what is said of a contender, and how to run it."""
    missing = absent(["torch", "onnx"])
    if missing:
        for runtime in ["onnxruntime", "OpenVINO"]:
            yield {"name": runtime, "missing": "no conversion: pip install " + " ".join(missing)}, None
        return
    path = os.path.join(folder, "network.onnx")
    picture, expected = convert(archive, shape, path)
    for runtime, start in [("onnxruntime", onnxruntime), ("OpenVINO", openvino)]:
        if absent([runtime.lower()]):
            yield {"name": runtime, "missing": "not installed: pip install " + runtime.lower()}, None
            continue
        try:
            for name, outputs, run in start(path, picture, cores, precision):
                run(2 * cores)
                yield {"name": "%s (error %.1e)" % (name, error(expected, outputs)), "missing": None}, run
        except Exception as reason:  # whatever a runtime refuses a network with is to be said, not to end the others
            yield {"name": runtime, "missing": str(reason).strip().splitlines()[0]}, None


def main():
    archive, sizes, precision = sys.argv[1], [int(v) for v in sys.argv[2:6]], sys.argv[6]
    warnings.simplefilter("ignore")
    # Answers go out by a descriptor of their own; what libraries print goes to standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        all_of_them = list(contenders(archive, [1, *sizes[:3]], sizes[3], precision, folder))
        print(json.dumps([said for said, _ in all_of_them]), file=answers)
        for line in sys.stdin:
            index, runs = (int(v) for v in line.split())
            start, cpu = time.perf_counter(), time.process_time()
            all_of_them[index][1](runs)
            took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
            print(json.dumps(took), file=answers)


main()
