#pragma once

#include "pgrecast/base/lsn.h"
#include "pgrecast/base/xid.h"
#include "pgrecast/buffer/sealed_keys.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// What lies in RocksDB, one column family, byte order big-endian:
//
//   key    generation u64, table u32, kind u8, bytes of the key
//   value  kTruncate, kChanged, kMarked: the xid, u64
//          kEstimate: the registers of a DistinctEstimate; its key's bytes are
//                     the table, u32
//          kState: State, below
//
// kEstimate and kState stand under tables of their own, behind all others, so
// that the newest generation's state is the last record of all. What tables
// and kinds come after the generation is called the suffix of a key.
namespace pgrecast::buffer {

using Generation = std::uint64_t;

// Open generations are even, each 2 above the last; the odd number below an
// open one is for what a forgotten round carried over. 0 is never used.
inline constexpr Generation kFirstGeneration = 2;
inline constexpr Generation kGenerationStep = 2;

enum class Kind : std::uint8_t {
  kTruncate = 0,  // the table was truncated; no key
  kChanged = 1,   // the receiver's
  kMarked = 2,    // note_dirty()'s
  kEstimate = 3,
  kState = 4,
};

// Ordinals are small: they index vectors.
inline constexpr TableId kTableCountMax = 1U << 16U;
inline constexpr TableId kEstimateTable = 0xfffffffe;
inline constexpr TableId kStateTable = 0xffffffff;

inline constexpr std::size_t kGenerationBytes = 8;
inline constexpr std::size_t kTableBytes = 4;
// Generation, table and kind.
inline constexpr std::size_t kKeyHeadBytes = kGenerationBytes + kTableBytes + 1;

void append_u32(std::string& out, std::uint32_t value);
void append_u64(std::string& out, std::uint64_t value);

// All of them throw StorageError where the bytes are none of ours.
std::uint32_t read_u32(std::string_view bytes);
std::uint64_t read_u64(std::string_view bytes);

std::string generation_prefix(Generation generation);
std::string suffix(TableId table, Kind kind, std::string_view key = {});
std::string record_key(Generation generation, TableId table, Kind kind,
                       std::string_view key = {});

struct SuffixParts {
  TableId table = 0;
  Kind kind = Kind::kChanged;
  std::string_view key;
};
SuffixParts read_suffix(std::string_view suffix);

std::string xid_value(Xid64 xid);
Xid64 read_xid(std::string_view value);

// Written with every batch, so that it is never ahead of the keys.
struct State {
  // What lies below is forgotten, even if it is still on disk.
  Generation first_live = kFirstGeneration;
  Lsn position;
  Lsn last_commit;
};
std::string state_value(const State& state);
State read_state(std::string_view value);

// A hash that is the same on every machine and in every version (estimates on
// disk were made with it). Not for keys that an adversary chooses.
std::uint64_t hash_bytes(std::string_view bytes);

}  // namespace pgrecast::buffer
