#pragma once

#include "pgrecast/base/xid.h"

#include <atomic>
#include <cstdint>

namespace pgrecast::capture {

// The newest 64-bit xid that we know of, against which the 32-bit xids of the
// stream are widened. Any thread.
class XidReference {
 public:
  explicit XidReference(Xid64 start) : value_(start.value) {}

  Xid64 now() const { return Xid64{value_.load(std::memory_order_relaxed)}; }

  void raise(Xid64 xid) {
    std::uint64_t known = value_.load(std::memory_order_relaxed);
    while (known < xid.value &&
           !value_.compare_exchange_weak(known, xid.value,
                                         std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<std::uint64_t> value_;
};

}  // namespace pgrecast::capture
