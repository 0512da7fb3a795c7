"""The Flask example, importable from here."""

import importlib.util
from pathlib import Path

path = Path(__file__).resolve().parents[2] / "examples" / "flask" / "app.py"
specification = importlib.util.spec_from_file_location("flask_example", path)
module = importlib.util.module_from_spec(specification)
specification.loader.exec_module(module)
app = module.app
