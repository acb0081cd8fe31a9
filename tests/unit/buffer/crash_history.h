#pragma once

#include "pgrecast/base/lsn.h"
#include "pgrecast/base/xid.h"
#include "pgrecast/buffer/sealed_keys.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

// What the crash writer writes, so that its reader can tell what must be there:
// transaction n (from 1) changes keys of its own, and no round ever sees a
// transaction with an odd number.
namespace pgrecast::test::history {

inline constexpr std::uint64_t kKeysPerTransaction = 20;

// Long, so that memory fills and files are written soon.
inline std::string key(std::uint64_t transaction, std::uint64_t i) {
  return fmt::format("{:0>300}", transaction * kKeysPerTransaction + i);
}
inline Lsn commit_lsn(std::uint64_t transaction) {
  return Lsn{transaction * 100};
}
inline Lsn end_lsn(std::uint64_t transaction) {
  return Lsn{transaction * 100 + 50};
}
inline bool keep(TableId /*table*/, std::string_view /*key*/, Xid64 xid) {
  return xid.value % 2 == 1;
}

}  // namespace pgrecast::test::history
