# cmake -D READELF=<readelf> -D ARCHIVE=<libstackless.a> -D PROGRAM=<one that links it> -P stacks.cmake: no stack is
# executable, and no program is marked for shadow stacks, which forbid what a switch does.

function(read output)
  execute_process(COMMAND ${READELF} ${ARGN} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

# An object without the note asks for an executable stack.
read(sections -SW ${ARCHIVE})
string(REGEX MATCHALL "File: [^\n]*" members "${sections}")
string(REGEX MATCHALL "\\.note\\.GNU-stack +PROGBITS +0+ [0-9a-f]+ 0+ 00 +0 " notes "${sections}")
list(LENGTH members member_count)
list(LENGTH notes note_count)
if(member_count LESS 5 OR NOT member_count EQUAL note_count)
  message(SEND_ERROR "${ARCHIVE}: ${note_count} of ${member_count} objects say that their stack is not executable")
endif()

read(segments -lW ${PROGRAM})
if(NOT segments MATCHES "GNU_STACK[^\n]* RW ")
  message(SEND_ERROR "${PROGRAM}: no GNU_STACK segment, or an executable one")
endif()

read(notes -nW ${PROGRAM})
if(notes MATCHES "SHSTK")
  message(SEND_ERROR "${PROGRAM} is marked for shadow stacks")
endif()
