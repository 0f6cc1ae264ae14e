# ls_folder(<name> SOURCES a.c b.c [LIBS PkgConfig::X ...]): one folder of common/ as an object library ls_<name>, part of ls_common.
# Includes carry the full path from the root, so the order of the folders shows in the code.
function(ls_folder name)
    cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
    add_library(ls_${name} OBJECT ${arg_SOURCES})
    target_link_libraries(ls_${name} PUBLIC ls_flags ${arg_LIBS})
    set_property(GLOBAL APPEND PROPERTY LS_FOLDERS ls_${name})
endfunction()

# ls_test(<file.c> LABEL unit|lua|integration|conformance|e2e|chaos [LIBS ...] [TIMEOUT s] [ARGS ...]): a cmocka program; its name is its path.
function(ls_test source)
    cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "LIBS;ARGS" ${ARGN})
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR}/${source})
    string(REGEX REPLACE "\\.c$" "" path ${path})
    string(REPLACE "/" "." name ${path})
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_link_libraries(${name} PRIVATE ls_common PkgConfig::CMOCKA ${arg_LIBS})
    add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()
    set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
        "LS_BUILD_DIR=${PROJECT_BINARY_DIR}" "LS_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
endfunction()

# ls_script_test(<file> LABEL ... COMMAND ... [TIMEOUT s] [SERIAL]): the same for a test that is a script.
function(ls_script_test name)
    cmake_parse_arguments(arg "SERIAL" "LABEL;TIMEOUT" "COMMAND" ${ARGN})
    add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} RUN_SERIAL ${arg_SERIAL})
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
        "LS_BUILD_DIR=${PROJECT_BINARY_DIR}" "LS_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
endfunction()
