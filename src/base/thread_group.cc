#include "pgrecast/base/thread_group.h"

#include "pgrecast/base/error.h"

#include <utility>

namespace pgrecast {

ThreadGroup::ThreadGroup(const std::stop_token& parent) {
  parent_.emplace(parent, Forward{&stop_});
}

ThreadGroup::~ThreadGroup() {
  stop_.request_stop();
  threads_.clear();
}

void ThreadGroup::run(std::function<void(const std::stop_token&)> body) {
  threads_.emplace_back([this, body = std::move(body)]() noexcept {
    try {
      body(stop_.get_token());
    } catch (const Stopped&) {
      // The ordinary end of a thread that was waiting.
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (error_ == nullptr) error_ = std::current_exception();
      stop_.request_stop();
    }
  });
}

void ThreadGroup::join() {
  for (std::jthread& thread : threads_) thread.join();
  threads_.clear();
  const std::lock_guard lock(mutex_);
  if (error_ != nullptr) std::rethrow_exception(error_);
}

void ThreadGroup::note(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (error_ == nullptr) error_ = std::move(error);
}

std::exception_ptr ThreadGroup::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace pgrecast
