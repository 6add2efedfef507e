"""TorchScript archives, small and the same every time."""

import json
import zipfile


def pack(source, target):
    """Writes the archive `source` to `target` without debug records and dates, compressed: libtorch reads that as well."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for entry in sorted(old.namelist()):
            if entry.endswith(".debug_pkl") or "/.data/" in entry or entry.endswith("byteorder"):
                continue
            data = old.read(entry)
            if entry.endswith("extra/config.txt"):
                config = json.loads(data)
                config.pop("date", None)
                data = json.dumps(config).encode()
            # libtorch takes the name of the archive from the first folder.
            name = "model/" + entry.split("/", 1)[1]
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            new.writestr(info, data, zipfile.ZIP_DEFLATED, 9)
