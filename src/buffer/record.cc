#include "record.h"

#include "pgrecast/base/error.h"

#include <cstring>

namespace pgrecast::buffer {
namespace {

constexpr std::uint64_t kMultiplier = 0x9fb21c651e98df25;

template <typename Int>
void append_big_endian(std::string& out, Int value) {
  for (std::size_t byte = sizeof(Int); byte-- > 0;) {
    out.push_back(static_cast<char>((value >> (byte * 8)) & 0xffU));
  }
}

template <typename Int>
Int read_big_endian(std::string_view bytes) {
  if (bytes.size() < sizeof(Int)) {
    throw StorageError("a record of the change buffer is cut short");
  }
  Int value = 0;
  for (const char byte : bytes.substr(0, sizeof(Int))) {
    value = value << 8U | static_cast<unsigned char>(byte);
  }
  return value;
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * kMultiplier;
  return hash ^ (hash >> 35U);
}

}  // namespace

void append_u32(std::string& out, std::uint32_t value) {
  append_big_endian(out, value);
}

void append_u64(std::string& out, std::uint64_t value) {
  append_big_endian(out, value);
}

std::uint32_t read_u32(std::string_view bytes) {
  return read_big_endian<std::uint32_t>(bytes);
}

std::uint64_t read_u64(std::string_view bytes) {
  return read_big_endian<std::uint64_t>(bytes);
}

std::string generation_prefix(Generation generation) {
  std::string out;
  append_u64(out, generation);
  return out;
}

std::string suffix(TableId table, Kind kind, std::string_view key) {
  std::string out;
  out.reserve(kTableBytes + 1 + key.size());
  append_u32(out, table);
  out.push_back(static_cast<char>(kind));
  out.append(key);
  return out;
}

std::string record_key(Generation generation, TableId table, Kind kind,
                       std::string_view key) {
  return generation_prefix(generation) + suffix(table, kind, key);
}

SuffixParts read_suffix(std::string_view suffix) {
  const TableId table = read_u32(suffix);
  if (suffix.size() <= kTableBytes ||
      static_cast<std::uint8_t>(suffix[kTableBytes]) >
          static_cast<std::uint8_t>(Kind::kState)) {
    throw StorageError("a record of the change buffer has an unknown kind");
  }
  return {.table = table,
          .kind = static_cast<Kind>(suffix[kTableBytes]),
          .key = suffix.substr(kTableBytes + 1)};
}

std::string xid_value(Xid64 xid) {
  std::string out;
  append_u64(out, xid.value);
  return out;
}

Xid64 read_xid(std::string_view value) {
  return Xid64{read_u64(value)};
}

std::string state_value(const State& state) {
  std::string out;
  append_u64(out, state.first_live);
  append_u64(out, state.position.value);
  append_u64(out, state.last_commit.value);
  return out;
}

State read_state(std::string_view value) {
  constexpr std::size_t kWord = 8;
  if (value.size() != 3 * kWord) {
    throw StorageError("the change buffer's record of its position is damaged");
  }
  return {.first_live = read_u64(value),
          .position = Lsn{read_u64(value.substr(kWord))},
          .last_commit = Lsn{read_u64(value.substr(2 * kWord))}};
}

std::uint64_t hash_bytes(std::string_view bytes) {
  constexpr std::size_t kWord = 8;
  std::uint64_t hash = bytes.size() * kMultiplier;
  for (; bytes.size() >= kWord; bytes.remove_prefix(kWord)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), kWord);
    hash = mix(hash, word);
  }
  if (!bytes.empty()) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), bytes.size());
    hash = mix(hash, word);
  }
  hash ^= hash >> 28U;
  hash *= kMultiplier;
  return hash ^ (hash >> 32U);
}

}  // namespace pgrecast::buffer
