#include "commands.hpp"

namespace cli {

namespace {

constexpr std::string_view all = R"(usage: stackless COMMAND [ARGUMENT...]

Runs programs that save tasklets to files, and brings the tasklets back.

Commands:
  run PROGRAM [ARGUMENT...]       run a program
  resume FILE [--program PATH]    bring the tasklet of a snapshot back, in a new
                                  process of its program
  inspect [--json] FILE           show what is in a snapshot
  help [COMMAND]                  explain a command

Options:
  -h, --help   print this
  --version    print the version

Example:
  stackless run ./counting 4 counting.snap
  stackless inspect counting.snap
  stackless resume counting.snap

Exit status: 0 done, 1 failed, 2 usage, 3 damaged file, 4 wrong program or CPU,
5 file too new. A program that runs ends the command with its own status.

Environment:
  STACKLESS_EMULATOR   runs the programs, see `stackless help run`
)";

constexpr std::string_view for_run = R"(usage: stackless run PROGRAM [ARGUMENT...]

Runs a program, in place of the command. PROGRAM is looked for in PATH unless it
has a slash. All that follows it is the program's, also what begins with a dash.

Options:
  -h, --help   print this

Example:
  stackless run ./counting 4 counting.snap

Exit status: the program's; 125 if it cannot be started; 2 usage.

Environment:
  STACKLESS_EMULATOR   if set, PROGRAM and its arguments are given to this program,
                       which runs those of other CPUs: qemu-aarch64-static
)";

constexpr std::string_view for_resume = R"(usage: stackless resume FILE [--program PATH]

Brings the tasklet of a snapshot back, in a new process of the program that saved
it, which has to be the same build and to call stackless::start. FILE is checked
completely before the program starts. It holds code's state: resume what you trust.

Options:
  --program PATH   the program, if it is no longer where it was
  -h, --help       print this

Example:
  stackless resume counting.snap

Exit status: the program's; 125 if it cannot be started; before that 1 failed,
2 usage, 3 damaged file, 4 wrong program or CPU, 5 file too new.

Environment:
  STACKLESS_EMULATOR   if set, the program is given to this one, which runs those of
                       other CPUs: qemu-aarch64-static
)";

constexpr std::string_view for_inspect = R"(usage: stackless inspect [--json] FILE

Shows what is in a snapshot: the modules its code comes from, its tasklets with
their frames, innermost first, the channels they wait on, its heap. FILE is checked
completely and nothing of it is run. Names of functions come from the symbol tables
of the modules, if they are still where they were.

Options:
  --json       print one JSON object
  -h, --help   print this

The object has the keys
  file, library, machine    texts
  format, min_reader, size  numbers: the format of the writer, the oldest one
               whose readers understand the file, how many bytes it has
  modules      list of {build_id, path}
  tasklets     list of {root, state, sliced, home, slot, slot_bytes, stack_bytes,
               handles, frames}; root and sliced are true or false, slot is null if
               there is no stack, frames is a list of places, innermost first
  channels     list of {where, state, waiting}; where is a place, or the address in
               the heap or on a stack, waiting a list of indices of tasklets
  heap         {cells, blocks, bytes}; cells lists {cell_bytes, blocks, bytes}
  left_behind  {foreign, strangers}: how many words led to memory that no snapshot
               carries, how many to tasklets that are not in this one
A place is {module, offset, name}: an index in modules, how far from where that one
begins, and the name that the text shows. Addresses and offsets are texts "0x...".

Example:
  stackless inspect counting.snap

Exit status: 0 done, 1 failed, 2 usage, 3 damaged file, 5 file too new.
)";

constexpr std::string_view for_help = R"(usage: stackless help [COMMAND]

Explains a command, as `stackless COMMAND --help` does, or names them all.

Options:
  -h, --help   print this

Example:
  stackless help resume

Exit status: 0 done, 1 failed, 2 usage.
)";

}  // namespace

std::string_view help(std::string_view command) {
  if (command.empty()) return all;
  if (command == "run") return for_run;
  if (command == "resume") return for_resume;
  if (command == "inspect") return for_inspect;
  if (command == "help") return for_help;
  return {};
}

}  // namespace cli
