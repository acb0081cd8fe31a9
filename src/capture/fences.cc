#include "pgrecast/capture/fences.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/sync_point.h"

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <fmt/format.h>

namespace pgrecast::capture {
namespace {

constexpr auto kWantedEvery = std::chrono::seconds(1);

}  // namespace

Fences::Fences(const std::string& slot, XidReference& xids)
    : prefix_("pgrecast:" + slot),
      process_(boost::uuids::to_string(boost::uuids::random_generator()())),
      xids_(&xids) {}

void Fences::pass(pg::Connection& connection, Deadline deadline,
                  const std::stop_token& stop,
                  const std::function<bool()>& wanted) {
  if (!rule_on("fence")) return;
  const std::string content = next();
  try {
    send(connection, content, deadline);
    await(content, deadline, stop, wanted);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    waited_for_.erase(content);
    throw;
  }
}

std::string Fences::next() {
  const std::lock_guard lock(mutex_);
  std::string content = fmt::format("{}/{}", process_, ++last_sent_);
  waited_for_.insert(content);
  return content;
}

void Fences::send(pg::Connection& connection, const std::string& content,
                  Deadline deadline) {
  const pg::Result sent = connection.exec(
      "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text,"
      " pg_catalog.pg_logical_emit_message(true, $1, $2)",
      {prefix_, content},
      deadline.earlier(Deadline::in(pg::kStatementTimeMax)));
  xids_->raise(Xid64{sent.number<std::uint64_t>(0, 0)});
}

void Fences::await(const std::string& content, Deadline deadline,
                   const std::stop_token& stop,
                   const std::function<bool()>& wanted) {
  std::unique_lock lock(mutex_);
  for (;;) {
    const Deadline next_look = deadline.earlier(Deadline::in(kWantedEvery));
    const bool over = changed_.wait_until(lock, stop, next_look.at(), [&] {
      return error_ != nullptr || !waited_for_.contains(content);
    });
    if (error_ != nullptr) std::rethrow_exception(error_);
    if (stop.stop_requested()) throw Stopped();
    if (over) return;
    if (deadline.passed()) {
      throw TimedOut("the stream has not delivered our fence in time");
    }
    if (!wanted) continue;
    lock.unlock();
    if (!wanted()) throw TimedOut("somebody waits while we wait for our fence");
    lock.lock();
  }
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
