#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "commands.hpp"
#include "contents.hpp"
#include "serialize/encoding.hpp"
#include "symbols.hpp"
#include "text.hpp"

namespace cli {

namespace snapshot = stackless::snapshot;
using snapshot::hexadecimal;
using snapshot::meaning;

namespace {

class report {
 public:
  explicit report(const std::string& file) : all_(contents_of(file)), image_(all_.image), symbols_(image_) {
    header();
    modules();
    tasklets();
    channels();
    heap();
    pointers();
  }

  std::string take() { return std::move(out_); }

 private:
  void header() {
    out_ += text("file     %s\n", printable(all_.file).c_str());
    out_ += text("format   %u, for readers of %u and newer\n", all_.written_by, all_.min_reader);
    out_ += text("library  %s\n", printable(image_.library).c_str());
    out_ += text("machine  %s\n", snapshot::name_of(image_.machine));
    out_ += text("size     %zu bytes\n", all_.size);
  }

  void modules() {
    out_ += "\nmodules\n";
    for (std::size_t i = 0; i != image_.modules.size(); ++i) {
      const snapshot::module& m = image_.modules[i];
      out_ += text("%3zu  %-40s  %s\n", i, hexadecimal(m.build_id).c_str(), printable(m.path).c_str());
    }
  }

  void tasklets() {
    out_ += "\ntasklets\n";
    out_ += text("     %-9s  %-11s  %-6s  %-14s  %-14s  %11s  %11s  %7s\n", "is", "state", "stack", "home", "slot",
                 "slot bytes", "stack bytes", "handles");
    std::span<const snapshot::frame> left = image_.frames;
    for (std::size_t i = 0; i != image_.tasklets.size(); ++i) {
      const snapshot::tasklet& t = image_.tasklets[i];
      out_ += text("%3zu  %-9s  %-11s  %-6s  %-14s  %-14s  %11llu  %11llu  %7u\n", i,
                   i < image_.roots ? "root" : "reachable", name_of(t.state), t.sliced ? "sliced" : "own",
                   hexadecimal(t.home).c_str(),
                   t.slot != 0 ? hexadecimal(t.slot).c_str() : "-",
                   static_cast<unsigned long long>(t.slot_size), static_cast<unsigned long long>(t.stack_size),
                   t.handles);
      frames(snapshot::take(left, t.frame_count));
    }
  }

  void frames(std::span<const snapshot::frame> list) {
    const int digits = static_cast<int>(std::to_string(list.size()).size());
    std::size_t widest = 0;
    for (const snapshot::frame& f : list) widest = std::max(widest, hexadecimal(f.pc.number).size());
    for (std::size_t i = 0; i != list.size(); ++i) {
      const snapshot::value& pc = list[i].pc;
      out_ += text("     #%-*zu  %-*s  %s\n", digits, i, static_cast<int>(widest),
                   hexadecimal(pc.number).c_str(), symbols_.code(pc).c_str());
    }
  }

  void channels() {
    if (image_.channels.empty()) return;
    out_ += "\nchannels\n";
    for (std::size_t i = 0; i != image_.channels.size(); ++i) {
      const snapshot::channel& c = image_.channels[i];
      const bool global = c.where.means == meaning::module;
      std::string queue;
      for (std::uint32_t waiting : c.waiting) queue += ' ' + std::to_string(waiting);
      out_ += text("%3zu  %s  %s:%s\n", i,
                   global ? symbols_.data(c.where).c_str() : hexadecimal(c.where.number).c_str(),
                   name_of(waits_for(image_, c)), queue.c_str());
    }
  }

  void heap() {
    out_ += "\nheap\n  cell bytes  blocks       bytes\n";
    for (const auto& [size, blocks] : blocks_by_size(image_))
      out_ += text("  %10llu  %6zu  %10llu\n", static_cast<unsigned long long>(size), blocks,
                   static_cast<unsigned long long>(size * blocks));
    out_ += text("  %10s  %6zu  %10zu\n", "all", image_.blocks.size(), image_.heap.bytes.size());
  }

  void pointers() {
    const lost_words lost = left_behind(image_);
    out_ += "\npointers left behind\n";
    out_ += text("  %6zu  to memory that no snapshot carries\n", lost.foreign);
    out_ += text("  %6zu  to tasklets that are not in this one\n", lost.strangers);
  }

  const contents all_;
  const snapshot::image& image_;
  symbols symbols_;
  std::string out_;
};

}  // namespace

std::string inspect(const std::string& file) {
  return report(file).take();
}

}  // namespace cli
