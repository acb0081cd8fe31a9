#pragma once

#include "pgrecast/base/xid.h"

#include <string>
#include <string_view>
#include <vector>

namespace pgrecast {

// What pg_current_snapshot() says: which transactions a snapshot of the
// primary sees. (A standby's snapshot tells nothing of running transactions:
// never build one of those.)
class Snapshot {
 public:
  // "xmin:xmax:xip,xip,...". Throws ProtocolError for anything else.
  static Snapshot parse(std::string_view text);

  // Whether the snapshot sees what the top-level transaction `xid` did,
  // provided that it committed: it is below xmax and was not in progress.
  bool sees(Xid64 xid) const;

  Xid64 xmin() const { return xmin_; }
  Xid64 xmax() const { return xmax_; }

 private:
  Snapshot() = default;

  Xid64 xmin_;
  Xid64 xmax_;
  std::vector<Xid64> in_progress_;  // ascending
};

}  // namespace pgrecast
