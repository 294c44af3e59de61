# Cross-builds for AArch64 on a Debian whose packages of both architectures are installed side by side (multiarch).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# Libraries are searched in /usr/lib/aarch64-linux-gnu and never in its x86-64 neighbour; what is in /usr/local was
# built for the machine that builds.
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_IGNORE_PREFIX_PATH /usr/local)

# The loader and the C library of arm64 are at their native paths, so qemu needs no -L; named here, it needs no
# binfmt_misc either, which a container often lacks.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static)
