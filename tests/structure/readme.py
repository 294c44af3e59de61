"""The program in the README is the program that is built and tested."""

import pathlib
import sys

root = pathlib.Path(sys.argv[1])
readme = (root / "README.md").read_text()
shown = readme.split("```cpp\n", 1)[1].split("```", 1)[0]
if shown != (root / "tools/programs/persistence_demo.cpp").read_text():
    sys.exit("README.md shows another program than tools/programs/persistence_demo.cpp")
