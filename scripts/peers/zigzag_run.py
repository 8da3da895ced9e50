"""Runs ZigZag on layers and prints its accesses as JSON; needs ZigZag, not joulecut.

python zigzag_run.py CASES    CASES: JSON of {"accelerator": .., "layers": {NAME: [workload, mapping]}}
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Writes {NAME: {"cycles": .., "O": [{direction: words}, ..], ..}} to the standard output."""
    api: Any = importlib.import_module("zigzag.api")
    logging.disable()
    cases: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    accelerator, workload, mapping = (Path(f"{name}.yaml") for name in ("hw", "layer", "order"))
    accelerator.write_text(json.dumps(cases["accelerator"]))  # JSON is YAML
    found: dict[str, Any] = {}
    for name, (layer, order) in cases["layers"].items():
        workload.write_text(json.dumps([layer]))
        mapping.write_text(json.dumps([order]))
        ends: Any = api.get_hardware_performance_zigzag(
            str(workload),
            str(accelerator),
            str(mapping),
            opt="energy",
            dump_folder="zigzag",
            loma_show_progress_bar=False,
        )
        (_, layers), *_ = ends[2]
        evaluation = layers[0][0]
        found[name] = {"cycles": int(evaluation.ideal_temporal_cycle)}
        for operand, levels in evaluation.memory_word_access.items():
            found[name][str(operand)] = [
                {way.name: words for way, words in level.data.items()} for level in levels
            ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
