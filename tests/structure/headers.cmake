# cmake -D SOURCE=<project> -D COMPILER=<c++> -D PROCESSOR=<cpu> -P headers.cmake: every public header compiles alone,
# and twice.

set(includes)
file(GLOB layers ${SOURCE}/*/include)
foreach(layer IN LISTS layers)
  list(APPEND includes -I${layer})
  file(GLOB_RECURSE found RELATIVE ${layer} ${layer}/*.hpp)
  list(APPEND headers ${found})
endforeach()
# The switch of another CPU does not compile here.
list(FILTER headers EXCLUDE REGEX "/switch_")
list(APPEND headers stackless/switch_${PROCESSOR}.hpp)
list(LENGTH headers count)
if(count LESS 10)
  message(FATAL_ERROR "only ${count} public headers found under ${SOURCE}")
endif()

foreach(header IN LISTS headers)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E echo "#include <${header}>\n#include <${header}>"
    COMMAND ${COMPILER} -std=c++20 -Wall -Wextra -Werror ${includes} -fsyntax-only -x c++ -
    RESULTS_VARIABLE results ERROR_VARIABLE errors)
  if(NOT results STREQUAL "0;0")
    message(SEND_ERROR "<${header}> does not compile alone:\n${errors}")
  endif()
endforeach()
