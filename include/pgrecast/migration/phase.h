#pragma once

#include <string_view>

namespace pgrecast::migration {

// Where a migration stands, in the order in which it goes on. Kept in the
// database by name: a name never changes its meaning.
enum class Phase {
  kPreparing,   // shadows, publication, slot; begun anew after a crash
  kCopying,     // chunks
  kSettling,    // every key at most once in the shadow; begun anew
  kIndexing,    // key index, exact round, the other indexes
  kCatchingUp,  // rounds until one is short
  kVerifying,   // passes over all keys, beside the rounds
  kReady,       // in step; waits for the cutover
  kExchanged,   // the exchange is committed; leftovers are removed
  kDone,        // only the retired tables are left, until `finish`
};

std::string_view name_of(Phase phase);

// Throws ProtocolError for a name of a newer version.
Phase phase_named(std::string_view name);

}  // namespace pgrecast::migration
