#include "pgrecast/capture/fences.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/sync_point.h"

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <fmt/format.h>

namespace pgrecast::capture {

Fences::Fences(const std::string& slot, XidReference& xids)
    : prefix_("pgrecast:" + slot),
      process_(boost::uuids::to_string(boost::uuids::random_generator()())),
      xids_(&xids) {}

void Fences::pass(pg::Connection& connection, Deadline deadline,
                  const std::stop_token& stop) {
  if (!rule_on("fence")) return;
  std::string content;
  {
    const std::lock_guard lock(mutex_);
    content = fmt::format("{}/{}", process_, ++last_sent_);
    waited_for_.insert(content);
  }
  const pg::Result sent = [&] {
    try {
      return connection.exec(
          "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text,"
          " pg_catalog.pg_logical_emit_message(true, $1, $2)",
          {prefix_, content},
          deadline.earlier(Deadline::in(pg::kStatementTimeMax)));
    } catch (...) {
      const std::lock_guard lock(mutex_);
      waited_for_.erase(content);
      throw;
    }
  }();
  xids_->raise(Xid64{sent.number<std::uint64_t>(0, 0)});
  std::unique_lock lock(mutex_);
  const bool over = changed_.wait_until(lock, stop, deadline.at(), [&] {
    return error_ != nullptr || !waited_for_.contains(content);
  });
  waited_for_.erase(content);
  if (error_ != nullptr) std::rethrow_exception(error_);
  if (stop.stop_requested()) throw Stopped();
  if (!over) throw TimedOut("the stream has not delivered our fence in time");
}

void Fences::seen(std::string_view content) {
  const std::lock_guard lock(mutex_);
  if (const auto found = waited_for_.find(content);
      found != waited_for_.end()) {
    waited_for_.erase(found);
    changed_.notify_all();
  }
}

void Fences::failed(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  changed_.notify_all();
}

}  // namespace pgrecast::capture
