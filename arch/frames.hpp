#pragma once

/// Copies of the live bytes of stacks that do not run.

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace arch {

// There is no red zone below the stack pointer to be copied with them: compilers use one only in functions that call
// nobody, and whoever gives way inline has at least one call that cannot take the place of a return, for the exception
// that it may wake to.

#if STACKLESS_ASAN

// AddressSanitizer knows which bytes of a frame may be used, and has to know it again: that goes along.
std::size_t size_of_copy(std::size_t bytes) noexcept;
void copy_frames_out(std::byte* to, const std::byte* from, std::size_t bytes) noexcept;
void copy_frames_in(std::byte* to, const std::byte* from, std::size_t bytes) noexcept;

/// Makes a copy of frames of which nothing is known but the bytes: all of them may be used.
void make_copy(std::byte* to, const std::byte* from, std::size_t bytes) noexcept;

#else

/// What a copy takes.
constexpr std::size_t size_of_copy(std::size_t bytes) noexcept { return bytes; }

inline void copy_frames_out(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  // In pieces, whose size the compiler is not to know: it would copy them by `rep movs`, as glibc does from 2 KiB on, and
  // that takes twice as long.
  constexpr std::size_t most = 1920;
  for (std::size_t piece; bytes != 0; bytes -= piece, to += piece, from += piece) {
    piece = std::min(bytes, most);
    asm("" : "+r"(piece));
    std::memcpy(to, from, piece);
  }
}

inline void copy_frames_in(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  copy_frames_out(to, from, bytes);
}

inline void make_copy(std::byte* to, const std::byte* from, std::size_t bytes) noexcept { std::memcpy(to, from, bytes); }

#endif

}  // namespace arch
STACKLESS_END
