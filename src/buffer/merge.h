#pragma once

#include "store.h"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::buffer {

// Reads several ranges of records side by side in the order of what follows
// their prefixes. What stands in several ranges comes once, from the range
// that was added first.
class Merge {
 public:
  explicit Merge(std::shared_ptr<const Store> store);

  // The records from prefix + `from` to before `upper`.
  void add(const std::string& prefix, std::string_view from,
           const std::string& upper);

  bool valid() const { return !heap_.empty(); }
  // Both live until the next call of next(). The key comes without its prefix.
  std::string_view key() const { return heap_.front()->key; }
  std::string_view value() const { return to_view(heap_.front()->at->value()); }
  void next();

 private:
  struct Source {
    std::size_t rank = 0;
    std::size_t prefix_bytes = 0;
    std::string upper;
    rocksdb::Slice upper_slice;
    std::unique_ptr<rocksdb::Iterator> at;
    std::string_view key;
  };

  // std's heaps have their greatest in front: the one that comes later.
  static bool later(const Source* left, const Source* right);

  // Takes the source's record, if it has one, into the heap.
  void push(Source* source);
  void step_first();

  std::shared_ptr<const Store> store_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<Source*> heap_;
  std::string last_;
};

}  // namespace pgrecast::buffer
