#include "postgres_parser.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <pg_query.h>
#include <string_view>

namespace pgrecast::script {
namespace {

// Nested deeper than any person writes (two levels of JSON an operator), and
// shallow enough for the recursive walks over the tree on a thread's stack,
// under sanitizers too.
constexpr int kTreeDepthMax = 1500;

struct FreeParse {
  PgQueryParseResult result;
  explicit FreeParse(const char* text) : result(pg_query_parse(text)) {}
  FreeParse(const FreeParse&) = delete;
  FreeParse& operator=(const FreeParse&) = delete;
  ~FreeParse() { pg_query_free_parse_result(result); }
};

struct FreeScan {
  PgQueryScanResult result;
  explicit FreeScan(const char* text) : result(pg_query_scan(text)) {}
  FreeScan(const FreeScan&) = delete;
  FreeScan& operator=(const FreeScan&) = delete;
  ~FreeScan() { pg_query_free_scan_result(result); }
};

// pg_query's cursorpos counts characters, from 1; 0 means unknown.
SyntaxError syntax_error(const std::string& text, const PgQueryError& error) {
  const auto characters =
      static_cast<std::size_t>(std::max(error.cursorpos - 1, 0));
  return {.message = error.message,
          .offset = offset_of_character(text, characters)};
}

// The scanner's answer is a protobuf message; two of its types matter, and they
// hold varints only, so that they are read by hand and protobuf stays out:
//
//   message ScanResult { int32 version = 1; repeated ScanToken tokens = 2; }
//   message ScanToken { int32 start = 1; int32 end = 2; Token token = 4;
//                       KeywordKind keyword_kind = 5; }
//
// The bytes come from the library in our own process: whatever does not fit
// this shape is a library of another version, reported as "not scanned".
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}

  bool at_end() const { return bytes_.empty() || failed_; }
  bool failed() const { return failed_; }

  std::uint64_t take_varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<std::uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    failed_ = true;
    return 0;
  }

  std::string_view take_bytes() {
    const std::uint64_t size = take_varint();
    if (failed_ || size > bytes_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

// Tag = field number * 8 + wire type (0 varint, 2 length-delimited).
constexpr std::uint64_t kTagVersion = 1 * 8 + 0;
constexpr std::uint64_t kTagTokens = 2 * 8 + 2;
constexpr std::uint64_t kTagStart = 1 * 8 + 0;
constexpr std::uint64_t kTagEnd = 2 * 8 + 0;
constexpr std::uint64_t kTagToken = 4 * 8 + 0;
constexpr std::uint64_t kTagKeywordKind = 5 * 8 + 0;

// pg_query.proto, enum Token.
constexpr std::uint64_t kIdent = 258;
constexpr std::uint64_t kUnicodeIdent = 259;

std::optional<Token> take_token(std::string_view message) {
  WireReader reader(message);
  Token token;
  std::uint64_t number = 0;
  std::uint64_t keyword_kind = 0;
  while (!reader.at_end()) {
    const std::uint64_t tag = reader.take_varint();
    const std::uint64_t value = reader.take_varint();
    switch (tag) {
      case kTagStart:
        token.span.begin = value;
        break;
      case kTagEnd:
        token.span.end = value;
        break;
      case kTagToken:
        number = value;
        break;
      case kTagKeywordKind:
        keyword_kind = value;
        break;
      default:
        return std::nullopt;
    }
  }
  if (reader.failed()) return std::nullopt;
  if (number == kIdent || number == kUnicodeIdent) {
    token.kind = Token::Kind::kWord;
  } else if (keyword_kind != 0) {
    token.kind = Token::Kind::kKeyword;
  }
  return token;
}

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// libpg_query 15-4.0 gives the token of U&"name" the length of its U alone, and
// that of U&'text' no length at all. What follows such a token is white space
// up to the next one (comments are tokens), so it ends where that begins.
std::size_t end_before(std::string_view text, std::size_t next) {
  while (next > 0 && is_space(text[next - 1])) --next;
  return next;
}

bool is_unicode_quote(std::string_view token_on) {
  return token_on.size() > 2 && (token_on[0] == 'U' || token_on[0] == 'u') &&
         token_on[1] == '&' && (token_on[2] == '"' || token_on[2] == '\'');
}

// Mends and completes the tokens; false where the gaps are not white space.
bool finish_tokens(std::string_view text, std::vector<Token>& tokens) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    auto& [begin, end] = tokens[i].span;
    const std::size_t next =
        i + 1 < tokens.size() ? tokens[i + 1].span.begin : text.size();
    if (begin < at || begin > next || next > text.size()) return false;
    const std::string_view token_on = text.substr(begin);
    if (is_unicode_quote(token_on)) end = end_before(text, next);
    if (end <= begin || end > next) return false;
    const std::string_view prefix = token_on.substr(0, 2);
    if (prefix == "--" || prefix == "/*")
      tokens[i].kind = Token::Kind::kComment;
    const std::string_view gap = text.substr(at, begin - at);
    if (!std::all_of(gap.begin(), gap.end(), is_space)) return false;
    at = end;
  }
  const std::string_view rest = text.substr(at);
  return std::all_of(rest.begin(), rest.end(), is_space);
}

}  // namespace

int parser_version() {
  int version = 0;
  const std::string_view text = PG_MAJORVERSION;
  std::from_chars(text.data(), text.data() + text.size(), version);
  return version;
}

std::variant<Tree, SyntaxError> parse_sql(const std::string& text) {
  const FreeParse parsed(text.c_str());
  if (parsed.result.error != nullptr) {
    return syntax_error(text, *parsed.result.error);
  }
  bool too_deep = false;
  const auto watch_depth = [&too_deep](int depth, Tree::parse_event_t /*event*/,
                                       const Tree& /*parsed*/) {
    too_deep = too_deep || depth > kTreeDepthMax;
    return !too_deep;
  };
  Tree tree = Tree::parse(parsed.result.parse_tree, watch_depth,
                          /*allow_exceptions=*/false);
  if (too_deep) return SyntaxError{"expression nested too deeply", 0};
  if (tree.is_discarded()) return SyntaxError{"unreadable parse tree", 0};
  return tree;
}

std::optional<std::vector<Token>> scan_sql(const std::string& text) {
  const FreeScan scanned(text.c_str());
  if (scanned.result.error != nullptr) return std::nullopt;
  const PgQueryProtobuf& message = scanned.result.pbuf;
  WireReader reader(std::string_view(message.data, message.len));
  std::vector<Token> tokens;
  while (!reader.at_end()) {
    const std::uint64_t tag = reader.take_varint();
    if (tag == kTagVersion) {
      reader.take_varint();
      continue;
    }
    if (tag != kTagTokens) return std::nullopt;
    const auto token = take_token(reader.take_bytes());
    if (!token) return std::nullopt;
    tokens.push_back(*token);
  }
  if (reader.failed() || !finish_tokens(text, tokens)) return std::nullopt;
  return tokens;
}

}  // namespace pgrecast::script
