#include "pending_changes.h"

#include "pgrecast/base/assert.h"

#include <algorithm>
#include <limits>

namespace pgrecast::buffer {
namespace {

constexpr std::size_t kSlotsMin = 1024;

std::uint64_t entry_hash(TableId table, Kind kind, std::uint64_t key_hash) {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;
  const std::uint64_t where =
      std::uint64_t{table} << 8U | static_cast<std::uint64_t>(kind);
  return key_hash ^ (where * kOdd);
}

}  // namespace

bool PendingChanges::note(TableId table, Kind kind, std::string_view key,
                          std::uint64_t key_hash, Xid64 xid) {
  // At most two thirds full, so that probes stay short.
  if (entries_.size() * 3 >= slots_.size() * 2) grow();
  const std::uint64_t hash = entry_hash(table, kind, key_hash);
  std::uint32_t& slot = slots_[slot_of(hash, table, kind, key)];
  if (slot != 0) {
    entries_[slot - 1].xid = xid;
    return false;
  }
  const std::size_t offset = arena_.size();
  append_u32(arena_, table);
  arena_.push_back(static_cast<char>(kind));
  arena_.append(key);
  PGRECAST_ASSERT(arena_.size() <= std::numeric_limits<std::uint32_t>::max(),
                  "bytes={}", arena_.size());
  entries_.push_back(
      {.hash = hash,
       .offset = static_cast<std::uint32_t>(offset),
       .size = static_cast<std::uint32_t>(arena_.size() - offset),
       .xid = xid});
  slot = static_cast<std::uint32_t>(entries_.size());
  return true;
}

std::optional<Xid64> PendingChanges::find(TableId table, Kind kind,
                                          std::string_view key,
                                          std::uint64_t key_hash) const {
  if (entries_.empty()) return std::nullopt;
  const std::uint64_t hash = entry_hash(table, kind, key_hash);
  const std::uint32_t slot = slots_[slot_of(hash, table, kind, key)];
  if (slot == 0) return std::nullopt;
  return entries_[slot - 1].xid;
}

std::size_t PendingChanges::bytes() const {
  return arena_.size() + entries_.size() * sizeof(Entry) +
         slots_.size() * sizeof(std::uint32_t);
}

void PendingChanges::clear() {
  arena_.clear();
  entries_.clear();
  std::fill(slots_.begin(), slots_.end(), 0);
}

std::vector<PendingChanges::Entry> PendingChanges::sorted() const {
  std::vector<Entry> entries = entries_;
  std::sort(entries.begin(), entries.end(),
            [this](const Entry& left, const Entry& right) {
              return suffix_of(left) < suffix_of(right);
            });
  return entries;
}

std::size_t PendingChanges::slot_of(std::uint64_t hash, TableId table,
                                    Kind kind, std::string_view key) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  for (; slots_[at] != 0; at = (at + 1) & mask) {
    const Entry& entry = entries_[slots_[at] - 1];
    if (entry.hash == hash && is(entry, table, kind, key)) break;
  }
  return at;
}

bool PendingChanges::is(const Entry& entry, TableId table, Kind kind,
                        std::string_view key) const {
  const SuffixParts parts = read_suffix(suffix_of(entry));
  return parts.table == table && parts.kind == kind && parts.key == key;
}

void PendingChanges::grow() {
  const std::size_t count = std::max(kSlotsMin, slots_.size() * 2);
  slots_.assign(count, 0);
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    std::size_t at = entries_[index].hash & (count - 1);
    while (slots_[at] != 0) at = (at + 1) & (count - 1);
    slots_[at] = static_cast<std::uint32_t>(index + 1);
  }
}

}  // namespace pgrecast::buffer
