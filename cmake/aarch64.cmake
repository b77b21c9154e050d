# Cross-compiles for AArch64 and runs what it made under qemu-user. Debian installs libraries for the machine's own
# architecture only: fmt is used from its headers, GoogleTest from its sources (cmake/aarch64/).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
set(fmt_DIR ${CMAKE_CURRENT_LIST_DIR}/aarch64)
set(GTest_DIR ${CMAKE_CURRENT_LIST_DIR}/aarch64)
