#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/xid.h"
#include "pgrecast/capture/xid_reference.h"
#include "pgrecast/pg/connection.h"

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>

namespace pgrecast::capture {

// Fences: when pass() returns, the receiver has noted every change of every
// transaction that committed before pass() was called.
//
// A fence is a transactional logical message, committed on a session of its
// own: the decoder meets it in commit order. (A message that is not
// transactional is not flushed: on an idle server it took 140 to 190 ms.)
//
// pass() may be called by several threads, each with a session of its own; the
// receiver's thread calls seen() and failed().
class Fences {
 public:
  // `slot` names the prefix, so that fences of other migrations are not ours.
  Fences(const std::string& slot, XidReference& xids);

  // Sends a fence on `connection`, which is in no transaction, and waits for
  // it. `wanted`, where there is one, is asked every second whether to wait on;
  // what it throws ends the wait. Throws TimedOut, also where it is not wanted
  // any more, Stopped, and what ended the receiver.
  void pass(pg::Connection& connection, Deadline deadline,
            const std::stop_token& stop,
            const std::function<bool()>& wanted = {});

  const std::string& prefix() const { return prefix_; }
  // [receiver] A committed transaction held a fence with this content.
  void seen(std::string_view content);
  // [receiver] No fence will be seen any more.
  void failed(std::exception_ptr error);

 private:
  std::string next();  // the content of a fence that is waited for from now on
  void send(pg::Connection& connection, const std::string& content,
            Deadline deadline);
  void await(const std::string& content, Deadline deadline,
             const std::stop_token& stop, const std::function<bool()>& wanted);

  std::string prefix_;
  std::string process_;  // tells our fences from those of a process before us
  XidReference* xids_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t last_sent_ = 0;
  std::set<std::string, std::less<>> waited_for_;
  std::exception_ptr error_;
};

}  // namespace pgrecast::capture
