#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/lsn.h"
#include "pgrecast/pg/connection.h"

#include <cstdint>
#include <optional>
#include <string>

namespace pgrecast::capture {

// IDENTIFY_SYSTEM, on a replication session.
struct SystemIdentity {
  std::uint64_t system_identifier = 0;
  std::uint32_t timeline = 0;
};
SystemIdentity identify_system(pg::Connection& replication);

struct SlotState {
  bool active = false;
  int active_pid = 0;
  std::string wal_status;  // reserved, extended, unreserved, lost
  Lsn confirmed_flush_lsn;
  Lsn restart_lsn;
  std::int64_t retained_bytes = 0;  // of WAL, kept for it on the server
};

// nullopt where there is no slot of that name.
std::optional<SlotState> read_slot(pg::Connection& connection,
                                   const std::string& name);

// Makes a logical slot of pgoutput and returns its consistent point. On a
// replication session. Waits for every transaction of the cluster that has an
// xid, at most until `deadline` (TimedOut).
//
// Without its snapshot (NOEXPORT_SNAPSHOT): on released servers that one may
// read wrongly, and even set wrong hint bits (objects.md of the design notes:
// pgsql-hackers, "Race conditions in logical decoding", 2026).
Lsn create_slot(pg::Connection& replication, const std::string& name,
                Deadline deadline);

// Also when a session of ours that died still holds it: that one is ended.
// Nothing happens where there is no such slot. Throws TimedOut when somebody
// keeps it beyond the deadline.
void drop_slot(pg::Connection& connection, const std::string& name,
               Deadline deadline);

// Ends the session that holds the slot, if any, and waits until it is free.
void free_slot(pg::Connection& connection, const std::string& name,
               Deadline deadline);

}  // namespace pgrecast::capture
