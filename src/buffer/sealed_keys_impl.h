#pragma once

#include "pgrecast/buffer/sealed_keys.h"

#include "merge.h"
#include "store.h"

#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace pgrecast {

struct SealedKeys::Cursor::Impl {
  explicit Impl(std::shared_ptr<const buffer::Store> store)
      : merge(std::move(store)) {}

  buffer::Merge merge;
};

struct SealedKeys::Impl {
  Impl(std::shared_ptr<const buffer::Store> store_of,
       std::vector<buffer::Generation> sealed, buffer::Generation open_then)
      : store(std::move(store_of)),
        generations(std::move(sealed)),
        open(open_then) {}

  const std::shared_ptr<const buffer::Store> store;
  const std::vector<buffer::Generation> generations;  // ascending
  const buffer::Generation open;  // the open one, made by the same seal

  std::mutex mutex;
  std::map<TableId, std::uint64_t> counts;  // guarded by mutex
};

}  // namespace pgrecast
