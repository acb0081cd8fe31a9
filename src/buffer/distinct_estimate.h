#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pgrecast::buffer {

// How many distinct keys were seen, in 1 kB however many: HyperLogLog
// (Flajolet and others 2007) with 1024 registers, standard error 3.3 %; nearly
// exact for small numbers. Ten hot keys stay ten, whatever the number of
// batches and generations that hold them.
class DistinctEstimate {
 public:
  DistinctEstimate() = default;

  // From registers(). Throws StorageError for bytes that are none.
  explicit DistinctEstimate(std::string_view registers);

  void add(std::uint64_t hash);
  void merge(const DistinctEstimate& other);

  std::uint64_t count() const;
  std::string registers() const;

  // Whether registers() is another since the last call of this.
  bool take_changed();

 private:
  static constexpr unsigned kIndexBits = 10;
  static constexpr std::size_t kRegisters = 1U << kIndexBits;

  std::array<std::uint8_t, kRegisters> registers_{};
  bool changed_ = false;
};

}  // namespace pgrecast::buffer
