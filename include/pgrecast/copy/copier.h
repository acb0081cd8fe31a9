#pragma once

#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/copy/chunker.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/migrated_table.h"
#include "pgrecast/plan/rejected_rows.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pgrecast::copy {

using plan::DataRejected;

// Copies a chunk in one transaction: locks, then a snapshot, INSERT .. SELECT,
// and `record`, which writes the chunk's row in the state table, so that it is
// copied exactly once whatever crashes. Returns the number of rows. Of a
// partitioned source the blocks are those of one leaf (MigratedTable::leaves).
//
// Throws DataRejected, OwnershipLost, catalog::FingerprintMismatch, and what
// the session throws; then nothing was copied (unless pg::CommitInDoubt).
std::int64_t copy_chunk(
    pg::Connection& connection, const plan::MigratedTable& table,
    const catalog::SourceGuard& guard, const BlockRange& chunk,
    const std::function<void(pg::Connection&, std::int64_t rows)>& record);

}  // namespace pgrecast::copy
