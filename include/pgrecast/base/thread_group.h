#pragma once

#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

namespace pgrecast {

// Threads that belong together: the first error of one stops all of them.
// Belongs to the thread that makes it.
class ThreadGroup {
 public:
  // Stops when `parent` is asked to.
  explicit ThreadGroup(const std::stop_token& parent);
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;
  // Stops and joins.
  ~ThreadGroup();

  std::stop_token stop_token() const { return stop_.get_token(); }
  void request_stop() { stop_.request_stop(); }

  void run(std::function<void(const std::stop_token&)> body);

  // Joins all, then throws the first error, if there was one (Stopped is none).
  void join();

  // Counts as an error of a thread's, and stops nobody. For one that is going
  // to throw it, but first does what will make others fail: so that theirs is
  // not taken for the cause.
  void note(std::exception_ptr error);

  // The first error so far.
  std::exception_ptr error() const;

 private:
  struct Forward {
    std::stop_source* stop;
    void operator()() const noexcept { stop->request_stop(); }
  };

  std::stop_source stop_;
  std::optional<std::stop_callback<Forward>> parent_;
  mutable std::mutex mutex_;
  std::exception_ptr error_;
  std::vector<std::jthread> threads_;
};

}  // namespace pgrecast
