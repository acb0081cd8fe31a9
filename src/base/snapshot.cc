#include "pgrecast/base/snapshot.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace pgrecast {
namespace {

Xid64 parse_xid(std::string_view text, std::string_view whole) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || rest != end) {
    throw ProtocolError(fmt::format("'{}' is not a pg_snapshot", whole));
  }
  return Xid64{value};
}

// Takes what stands before the next `separator` (or all of it) off `text`.
std::string_view take_field(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view field = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return field;
}

}  // namespace

Snapshot Snapshot::parse(std::string_view text) {
  const std::string_view whole = text;
  if (std::ranges::count(text, ':') != 2) {
    throw ProtocolError(fmt::format("'{}' is not a pg_snapshot", whole));
  }
  Snapshot snapshot;
  snapshot.xmin_ = parse_xid(take_field(text, ':'), whole);
  snapshot.xmax_ = parse_xid(take_field(text, ':'), whole);
  while (!text.empty()) {
    snapshot.in_progress_.push_back(parse_xid(take_field(text, ','), whole));
  }
  std::ranges::sort(snapshot.in_progress_);
  return snapshot;
}

bool Snapshot::sees(Xid64 xid) const {
  if (xid >= xmax_) return false;
  return !std::binary_search(in_progress_.begin(), in_progress_.end(), xid);
}

}  // namespace pgrecast
