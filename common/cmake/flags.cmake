# ls_flags: warnings, hardening, sanitizers, include root and feature switches for everything that is ours.
add_library(ls_flags INTERFACE)
target_include_directories(ls_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/common/include ${PROJECT_BINARY_DIR}/generated)
target_compile_definitions(ls_flags INTERFACE _GNU_SOURCE LOCKSTEP_VERSION="${PROJECT_VERSION}"
    $<$<BOOL:${LS_HAVE_YAML}>:LOCKSTEP_WITH_YAML=1> $<$<BOOL:${LS_HAVE_SQLITE}>:LOCKSTEP_WITH_SQLITE=1>
    $<$<BOOL:${LS_HAVE_ADMIN}>:LOCKSTEP_WITH_ADMIN=1>)
target_compile_options(ls_flags INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wformat=2 -Wno-format-nonliteral
    -Wundef -Wvla -Wno-unused-parameter -Wno-missing-field-initializers -fno-strict-aliasing -fstack-protector-strong
    $<$<BOOL:${LOCKSTEP_WERROR}>:-Werror>)
if(LOCKSTEP_SANITIZE)
    target_compile_options(ls_flags INTERFACE -fsanitize=${LOCKSTEP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
    target_link_options(ls_flags INTERFACE -fsanitize=${LOCKSTEP_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_definitions(ls_flags INTERFACE _FORTIFY_SOURCE=2)
    target_link_options(ls_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
