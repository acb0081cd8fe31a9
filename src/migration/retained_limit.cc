#include "pgrecast/migration/retained_limit.h"

#include "pgrecast/base/log.h"

#include <fmt/format.h>

#include <utility>

namespace pgrecast::migration {
namespace {

constexpr std::int64_t kMegabyte = std::int64_t{1} << 20U;
constexpr auto kOverLimitTimeMax = std::chrono::seconds(30);

}  // namespace

RetainedTooMuch::RetainedTooMuch(std::int64_t bytes, std::int64_t bytes_max)
    : Error(fmt::format("its slot kept {} MB of WAL on the server, more than "
                        "--max-retained allows ({} MB), and was dropped",
                        bytes / kMegabyte, bytes_max / kMegabyte),
            Remedy::kFail) {}

void RetainedLimit::look(std::int64_t bytes, Clock::time_point now) {
  if (bytes > bytes_max_ / 2 && !std::exchange(warned_, true)) {
    log::warn("migration", "the slot keeps much WAL on the server",
              "retained_bytes={} limit_bytes={} next='end old transactions; "
              "beyond --max-retained the slot is dropped'",
              bytes, bytes_max_);
  }
  if (bytes <= bytes_max_) {
    least_since_.reset();
    return;
  }
  if (!least_since_ || bytes < least_) {
    least_ = bytes;
    least_since_ = now;
  }
  if (now - *least_since_ >= kOverLimitTimeMax) {
    throw RetainedTooMuch(bytes, bytes_max_);
  }
}

}  // namespace pgrecast::migration
