#include "merge.h"

#include <algorithm>
#include <utility>

namespace pgrecast::buffer {

Merge::Merge(std::shared_ptr<const Store> store) : store_(std::move(store)) {}

void Merge::add(const std::string& prefix, std::string_view from,
                const std::string& upper) {
  auto source = std::make_unique<Source>();
  source->rank = sources_.size();
  source->prefix_bytes = prefix.size();
  source->upper = upper;
  source->upper_slice = source->upper;
  source->at = store_->iterate(&source->upper_slice);
  source->at->Seek(prefix + std::string(from));
  push(source.get());
  sources_.push_back(std::move(source));
}

void Merge::next() {
  if (heap_.size() == 1) return step_first();
  last_ = key();
  do {
    step_first();
  } while (!heap_.empty() && key() == last_);
}

bool Merge::later(const Source* left, const Source* right) {
  const int order = left->key.compare(right->key);
  return order > 0 || (order == 0 && left->rank > right->rank);
}

void Merge::push(Source* source) {
  if (!source->at->Valid()) {
    store_->check(*source->at);
    return;
  }
  source->key = to_view(source->at->key()).substr(source->prefix_bytes);
  heap_.push_back(source);
  std::push_heap(heap_.begin(), heap_.end(), later);
}

void Merge::step_first() {
  std::pop_heap(heap_.begin(), heap_.end(), later);
  Source* const first = heap_.back();
  heap_.pop_back();
  first->at->Next();
  push(first);
}

}  // namespace pgrecast::buffer
