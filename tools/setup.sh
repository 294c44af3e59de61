# The Debian packages that the project needs, and how they get installed. To be sourced; nothing else lists packages.

# To configure and build. GTest and Benchmark are among them because configuring looks for everything.
base_packages='build-essential cmake ninja-build libxxhash-dev libunwind-dev libcli11-dev
               nlohmann-json3-dev libdw-dev libuv1-dev libsodium-dev libhttp-parser-dev
               libgtest-dev libbenchmark-dev python3'

# To test on this machine.
check_packages='clang libclang-rt-dev gdb python3-xxhash'

# What perf/ measures beside us.
peer_packages='libboost-context-dev libboost-fiber-dev libst-dev libmimalloc-dev'

# To show what the tests run.
coverage_packages='gcovr'

# To measure servers.
measure_packages='wrk'

# To test for AArch64 on any other CPU. Of http-parser only the library: the headers of two architectures exclude each
# other.
cross_packages='g++-aarch64-linux-gnu qemu-user-static libxxhash-dev:arm64 libunwind-dev:arm64 libdw-dev:arm64
                libuv1-dev:arm64 libsodium-dev:arm64 libhttp-parser2.9:arm64 libgtest-dev:arm64 libbenchmark-dev:arm64'

# install_missing <package>...: touches the network only if one of them is missing.
install_missing() {
  missing=$(for package; do is_installed "$package" || printf '%s ' "$package"; done)
  [ -n "$missing" ] || return 0

  if ! command -v apt-get >/dev/null; then
    echo "error: there is no apt-get here to install these packages of Debian: $missing" >&2
    return 1
  fi
  echo "installing: $missing" >&2
  case $missing in *:arm64*) as_root dpkg --add-architecture arm64 ;; esac
  as_root apt-get -qq update >&2
  # Unquoted, to be split into one argument for each package.
  as_root apt-get -qq -o Dpkg::Use-Pty=0 --yes --no-install-recommends install $missing >&2
}

# A name without an architecture means this machine's, as it does for apt-get; dpkg-query would take any.
is_installed() {
  case $1 in *:*) wanted=${1#*:} ;; *) wanted="$(dpkg --print-architecture)|all" ;; esac
  dpkg-query --show --showformat '${db:Status-Status} ${Architecture}\n' "$1" | grep -qEx "installed ($wanted)"
} 2>/dev/null

# The variable is set behind sudo, which would drop it.
as_root() {
  if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then sudo=sudo; else sudo=; fi
  $sudo env DEBIAN_FRONTEND=noninteractive "$@"
}
