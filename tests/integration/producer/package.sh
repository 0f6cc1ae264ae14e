#!/bin/sh
# package.sh CC CMAKE [SANITIZERS]: install into a temporary prefix, build the example by pkg-config (shared, then static), by CMake and as C++, run it.
set -eu
cc=$1 cmake=$2 sanitize=${3:-}
source=$LS_SOURCE_DIR build=$LS_BUILD_DIR
dir=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
flags=
[ -z "$sanitize" ] || flags="-fsanitize=$sanitize"

DESTDIR="" "$cmake" --install "$build" --prefix "$dir/usr" --component devel >/dev/null
pc=$(dirname "$(find "$dir/usr" -name lockstep.pc)")
# The file was made for the configured prefix: what a packager relocates, pkg-config relocates here.
export PKG_CONFIG_PATH="$pc"
pkg_config="pkg-config --define-variable=prefix=$dir/usr"

redis-server --port 0 --unixsocket "$dir/redis.sock" --save "" --dir "$dir" >/dev/null &
server=$!
export LOCKSTEP_REDIS="unix://$dir/redis.sock"
i=0
until [ -S "$dir/redis.sock" ]; do
    i=$((i + 1))
    [ $i -lt 200 ] || { echo "redis-server does not start"; exit 1; }
    sleep 0.05
done

cp "$source/producer/lib/examples/push.c" "$dir/push.c"
echo "shared, by pkg-config"
# shellcheck disable=SC2046,SC2086
"$cc" $flags -Wall -Werror "$dir/push.c" $($pkg_config --cflags --libs lockstep) -o "$dir/shared"
LD_LIBRARY_PATH=$(dirname "$pc") "$dir/shared" 10 | grep -q "pushed 10 more"
echo "static, by pkg-config"
# shellcheck disable=SC2046,SC2086
"$cc" $flags "$dir/push.c" $($pkg_config --cflags lockstep) "$(dirname "$pc")/liblockstep.a" \
    $($pkg_config --static --libs lockstep | sed 's/-llockstep//') -o "$dir/static"
"$dir/static" 10 | grep -q "pushed 10 more"
echo "by CMake"
mkdir "$dir/app"
cat >"$dir/app/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(app C)
find_package(lockstep 0.1 REQUIRED)
add_executable(app ../push.c)
target_link_libraries(app PRIVATE lockstep::lockstep)
target_compile_options(app PRIVATE $flags)
target_link_options(app PRIVATE $flags)
END
"$cmake" -S "$dir/app" -B "$dir/app/build" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$dir/usr" >/dev/null
"$cmake" --build "$dir/app/build" >/dev/null
"$dir/app/build/app" 10 | grep -q "pushed 10 more"
echo "the test of producer/lib/README.md"
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/producer/lib/README.md" >"$dir/test.c"
# shellcheck disable=SC2046,SC2086
"$cc" $flags -Wall -Wextra -Werror "$dir/test.c" $($pkg_config --cflags --libs lockstep) -o "$dir/readme"
LOCKSTEP_REDIS='' LD_LIBRARY_PATH=$(dirname "$pc") "$dir/readme" | grep -q "all is well"
if command -v c++ >/dev/null; then
    echo "as C++"
    cp "$source/tests/integration/producer/app.cc" "$dir/app.cc"
    # shellcheck disable=SC2046,SC2086
    c++ $flags -Wall -Werror "$dir/app.cc" $($pkg_config --cflags --libs lockstep) -o "$dir/cxx"
    LD_LIBRARY_PATH=$(dirname "$pc") "$dir/cxx"
fi
echo "a handler, by its header alone"
printf '#include <lockstep/handler.h>\nstatic int f(struct lockstep_run *run, void *self) { (void)self; return lockstep_run_ok(run); }\nconst struct lockstep_handler lockstep_handlers[] = {LOCKSTEP_HANDLER("f", f), LOCKSTEP_HANDLERS_END};\n' >"$dir/handler.c"
# shellcheck disable=SC2046,SC2086
"$cc" $flags -Wall -Wextra -Werror -shared -fPIC "$dir/handler.c" $($pkg_config --cflags lockstep) -o "$dir/handler.so"
nm -D --defined-only "$dir/handler.so" | grep -q ' lockstep_handlers$'
echo "only lockstep_ is exported"
if nm -D --defined-only "$(dirname "$pc")/liblockstep.so" | grep -v ' lockstep_' | grep -q ' [TDB] '; then
    nm -D --defined-only "$(dirname "$pc")/liblockstep.so"
    exit 1
fi
