"""Payloads of class 1: pickles. Each line calls something when it is unpickled with trust; MARKER stands for the marker's path."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import torch

CODE = "open('MARKER','w').close()"
CALLS = {  # name -> (module, attribute, arguments)
    "os.system": ("os", "system", ("touch MARKER",)),
    "posix.system": ("posix", "system", ("touch MARKER",)),
    "nt alias of os": ("os.path", "os.system", ("touch MARKER",)),
    "subprocess.call": ("subprocess", "call", (["touch", "MARKER"],)),
    "subprocess.Popen": ("subprocess", "Popen", (["touch", "MARKER"],)),
    "builtins.eval": ("builtins", "eval", (CODE,)),
    "builtins.exec": ("builtins", "exec", (CODE,)),
    "builtins.open": ("builtins", "open", ("MARKER", "w")),
    "old name of builtins": ("__builtin__", "eval", (CODE,)),
    "io.open": ("io", "open", ("MARKER", "w")),
    "codecs.open": ("codecs", "open", ("MARKER", "w")),
    "pty.spawn": ("pty", "spawn", (["touch", "MARKER"],)),
    "runpy": ("runpy", "_run_code", (CODE, {})),
    "timeit": ("timeit", "timeit", (CODE, "pass", None, 1)),
    "code.interact": ("code", "InteractiveInterpreter.runsource", (None, CODE)),
    "bdb": ("bdb", "Bdb.run", (None, CODE)),
    "cProfile": ("cProfile", "run", (CODE,)),
    "profile of torch": ("torch.utils.bottleneck.__main__", "run_cprofile", (CODE, {})),
    "execWrapper of torch": ("torch.jit.unsupported_tensor_ops", "execWrapper", (CODE, {}, {})),
    "torch.load": ("torch", "load", ("MARKER",)),
    "torch.hub.load": ("torch.hub", "load", ("owner/repo", "model")),
    "torch._dynamo eval": ("torch.fx.graph_module", "_exec_with_source", (CODE, {})),
    "torch inductor codecache": ("torch._inductor.codecache", "PyCodeCache.load", (CODE,)),
    "torch.cpp_extension": ("torch.utils.cpp_extension", "load_inline", ("a", "int f(){return 0;}")),
    "numpy.testing": ("numpy.testing._private.utils", "runstring", (CODE, {})),
    "numpy.load": ("numpy", "load", ("MARKER", None, True)),
    "pickle in a pickle": ("pickle", "loads", (b"cos\nsystem\n(S'touch MARKER'\ntR.",)),
    "marshal": ("marshal", "loads", (b"",)),
    "importlib": ("importlib", "import_module", ("segexp_canary",)),
    "getattr": ("builtins", "getattr", ("MARKER", "upper")),
    "operator": ("operator", "methodcaller", ("system", "touch MARKER")),
    "functools.partial": ("functools", "partial", (print, "MARKER")),
    "ctypes": ("ctypes", "CDLL", ("MARKER",)),
    "socket": ("socket", "create_connection", (("127.0.0.1", 9), 0.1)),
    "urllib": ("urllib.request", "urlopen", ("http://127.0.0.1:9/",)),
    "shutil.rmtree": ("shutil", "rmtree", ("MARKER",)),
    "pathlib": ("pathlib", "Path.touch", ("MARKER",)),
    "logging": ("logging.config", "listen", (9,)),
    "sys.exit": ("sys", "exit", (0,)),
    "a class of ours": ("segexp.runs.directory", "RunDirectory", ("MARKER",)),
    "our file writer": ("segexp.functional.files", "write_atomic", ("MARKER", "x")),
    "a module of nn": ("torch.nn.modules.linear", "Linear", (1, 1)),
}


def call(name, marker, protocol=2):
    """The opcodes of a call, without header and end."""
    module, attribute, arguments = CALLS[name]
    raw = pickle.dumps(_filled(arguments, str(marker)), protocol=protocol)
    inner = raw[2:-1] if protocol < 4 else raw[11:-1]
    if protocol < 4:
        return b"c" + f"{module}\n{attribute}\n".encode() + inner + b"R"
    text = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, attribute))
    return text + b"\x93" + inner + b"R"


def _filled(value, marker):
    if isinstance(value, str):
        return value.replace("MARKER", marker)
    if isinstance(value, bytes):
        return value.replace(b"MARKER", marker.encode())
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(item, marker) for item in value)
    return value


def alone(name, marker):
    """A pickle that calls."""
    return b"\x80\x02" + call(name, marker) + b"."


def in_a_field(name, marker, field="state_dict"):
    """A pickle of a dict with the call in a field, as a checkpoint has it."""
    key = b"X" + struct.pack("<I", len(field)) + field.encode()
    return b"\x80\x02}" + key + b"}X\x01\x00\x00\x00a" + call(name, marker) + b"ss."


def built(name, marker):
    """A pickle that sets the state of an OrderedDict, which it may, to a call, which it may not."""
    return b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00a" + call(name, marker) + b"sb."


def as_key(name, marker):
    """A pickle of a dict that has the call for a key."""
    return b"\x80\x02}" + call(name, marker) + b"K\x01s."


def by_new(name, marker):
    """The class is made by NEWOBJ rather than called."""
    return b"\x80\x02" + call(name, marker)[:-1] + b"\x81."


def by_inst(name, marker):
    """The oldest opcode that calls: INST of protocol 0."""
    module, attribute, _ = CALLS[name]
    return b"(" + f"S'touch {marker}'\n".encode() + b"i" + f"{module}\n{attribute}\n".encode() + b"."


def protocol_4(name, marker):
    """The global's name comes from the stack."""
    return b"\x80\x04" + call(name, marker, 4) + b"."


def archived(raw, **options):
    """A torch archive around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr("archive/data.pkl", raw)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def old(raw):
    """The file of torch before 1.6: magic number, version, system, then the pickle."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    return b"".join(pickle.dumps(part, protocol=2) for part in head) + raw + pickle.dumps([], protocol=2)


def safe():
    """A checkpoint with nothing in it to refuse: what the shapes above are held against."""
    file = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(2)}}, file)
    return file.getvalue()


SHAPES = {"alone": alone, "in a field": in_a_field, "built": built, "as a key": as_key, "new": by_new, "protocol 4": protocol_4}
