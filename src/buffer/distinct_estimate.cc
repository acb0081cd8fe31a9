#include "distinct_estimate.h"

#include "pgrecast/base/error.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace pgrecast::buffer {

DistinctEstimate::DistinctEstimate(std::string_view registers) {
  if (registers.size() != kRegisters) {
    throw StorageError("an estimate in the change buffer is damaged");
  }
  std::transform(registers.begin(), registers.end(), registers_.begin(),
                 [](char byte) { return static_cast<std::uint8_t>(byte); });
}

void DistinctEstimate::add(std::uint64_t hash) {
  const std::uint64_t index = hash & (kRegisters - 1);
  const std::uint64_t rest = (hash >> kIndexBits) << kIndexBits;
  const auto rank = static_cast<std::uint8_t>(std::countl_zero(rest) + 1);
  if (rank <= registers_[index]) return;
  registers_[index] = rank;
  changed_ = true;
}

void DistinctEstimate::merge(const DistinctEstimate& other) {
  for (std::size_t i = 0; i < kRegisters; ++i) {
    registers_[i] = std::max(registers_[i], other.registers_[i]);
  }
}

std::uint64_t DistinctEstimate::count() const {
  constexpr double kCount = kRegisters;
  // The paper's bias correction for this many registers, and its limit below
  // which counting the empty registers is more exact.
  constexpr double kAlpha = 0.7213 / (1 + 1.079 / kCount);
  constexpr double kSmall = 2.5 * kCount;
  double sum = 0;
  for (const std::uint8_t value : registers_) sum += std::ldexp(1.0, -value);
  const double estimate = kAlpha * kCount * kCount / sum;
  const auto empty = static_cast<double>(
      std::count(registers_.begin(), registers_.end(), std::uint8_t{0}));
  const double best = estimate <= kSmall && empty > 0
                          ? kCount * std::log(kCount / empty)
                          : estimate;
  return static_cast<std::uint64_t>(std::llround(best));
}

std::string DistinctEstimate::registers() const {
  return {registers_.begin(), registers_.end()};
}

bool DistinctEstimate::take_changed() {
  return std::exchange(changed_, false);
}

}  // namespace pgrecast::buffer
