#include "pgrecast/buffer/sealed_keys.h"

#include "pgrecast/base/sync_point.h"

#include "sealed_keys_impl.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace pgrecast {

using buffer::Generation;
using buffer::Kind;

SealedKeys::Cursor::Cursor(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
SealedKeys::Cursor::Cursor(Cursor&&) noexcept = default;
SealedKeys::Cursor& SealedKeys::Cursor::operator=(Cursor&&) noexcept = default;
SealedKeys::Cursor::~Cursor() = default;

bool SealedKeys::Cursor::valid() const {
  return impl_->merge.valid();
}

std::string_view SealedKeys::Cursor::key() const {
  return impl_->merge.key();
}

Xid64 SealedKeys::Cursor::xid() const {
  return buffer::read_xid(impl_->merge.value());
}

void SealedKeys::Cursor::next() {
  impl_->merge.next();
}

SealedKeys::SealedKeys(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SealedKeys::SealedKeys(SealedKeys&&) noexcept = default;
SealedKeys& SealedKeys::operator=(SealedKeys&&) noexcept = default;
SealedKeys::~SealedKeys() = default;

bool SealedKeys::empty() const {
  return impl_->generations.empty();
}

std::vector<TableId> SealedKeys::tables() const {
  std::set<TableId> tables;
  for (const Generation generation : impl_->generations) {
    const std::string upper =
        buffer::record_key(generation, buffer::kTableCountMax, Kind::kTruncate);
    const rocksdb::Slice upper_slice(upper);
    const auto records = impl_->store->iterate(&upper_slice);
    records->Seek(buffer::generation_prefix(generation));
    while (records->Valid()) {
      const TableId table = buffer::read_u32(
          buffer::to_view(records->key()).substr(buffer::kGenerationBytes));
      tables.insert(table);
      records->Seek(buffer::record_key(generation, table + 1, Kind::kTruncate));
    }
    impl_->store->check(*records);
  }
  return {tables.begin(), tables.end()};
}

SealedKeys::Cursor SealedKeys::keys(TableId table,
                                    std::string_view from) const {
  PGRECAST_SYNC_POINT("buffer:read");
  auto cursor = std::make_unique<Cursor::Impl>(impl_->store);
  // Newest first, and the receiver's before our own marks.
  const std::vector<Generation>& all = impl_->generations;
  for (const Kind kind : {Kind::kChanged, Kind::kMarked}) {
    const auto behind = static_cast<Kind>(static_cast<int>(kind) + 1);
    for (auto generation = all.rbegin(); generation != all.rend();
         ++generation) {
      cursor->merge.add(buffer::record_key(*generation, table, kind), from,
                        buffer::record_key(*generation, table, behind));
    }
  }
  return Cursor(std::move(cursor));
}

std::uint64_t SealedKeys::count(TableId table) const {
  {
    const std::lock_guard lock(impl_->mutex);
    const auto known = impl_->counts.find(table);
    if (known != impl_->counts.end()) return known->second;
  }
  std::uint64_t count = 0;
  for (Cursor cursor = keys(table); cursor.valid(); cursor.next()) ++count;
  const std::lock_guard lock(impl_->mutex);
  impl_->counts.emplace(table, count);
  return count;
}

std::optional<Xid64> SealedKeys::truncated(TableId table) const {
  const std::vector<Generation>& all = impl_->generations;
  for (auto generation = all.rbegin(); generation != all.rend(); ++generation) {
    const auto value = impl_->store->find(
        buffer::record_key(*generation, table, Kind::kTruncate));
    if (value) return buffer::read_xid(*value);
  }
  return std::nullopt;
}

}  // namespace pgrecast
