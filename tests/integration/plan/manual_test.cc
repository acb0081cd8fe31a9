#include "by_hand_fixture.h"
#include "support/process.h"

// The examples of docs/reference/script.md, as they stand there. A comment
// before each says on which tables: `example on: SQL` is run by hand, too, and
// compared; `example planned on: SQL` must be taken by the plan, with the
// statements behind `then:`, if any. `example assuming F, on: SQL` has
// --assume-immutable F.
namespace pgrecast::plan {
namespace {

struct Example {
  bool planned = false;  // only
  std::string setup;
  std::string script;
  std::vector<std::string> assume_immutable;
};

std::string manual() {
  return test::read_file(std::string(PGRECAST_TEST_SOURCE_DIR) +
                         "/docs/reference/script.md");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// What stands between the two, or nothing.
std::optional<std::string> between(const std::string& text,
                                   const std::string& before,
                                   const std::string& after) {
  const std::size_t begin = text.find(before);
  if (begin == std::string::npos) return std::nullopt;
  const std::size_t end = text.find(after, begin + before.size());
  if (end == std::string::npos) return std::nullopt;
  return text.substr(begin + before.size(), end - begin - before.size());
}

Example example_of(const std::string& comment, const std::string& block) {
  Example example;
  example.script = block;
  if (const auto setup = between(comment, "<!-- example on: ", " -->")) {
    example.setup = *setup;
  } else if (const auto assumed =
                 between(comment, "<!-- example assuming ", ", on: ")) {
    example.assume_immutable = {*assumed};
    example.setup = between(comment, ", on: ", " -->").value();
  } else if (const auto plan =
                 between(comment, "<!-- example planned on: ", " -->")) {
    example.planned = true;
    const std::size_t then = plan->find("then: ");
    example.setup = plan->substr(0, then);
    if (then != std::string::npos) {
      example.script += ";" + plan->substr(then + 6);
    }
  } else {
    ADD_FAILURE() << "no comment says on which tables this runs:\n" << block;
  }
  return example;
}

// Blocks of lines that are indented by four, each with the paragraph before it.
std::vector<Example> examples() {
  std::vector<Example> all;
  std::string paragraph;
  std::string before;
  std::string block;
  for (const std::string& line : lines_of(manual() + "\n.\n")) {
    if (line.starts_with("    ")) {
      block += line + "\n";
      continue;
    }
    if (!block.empty()) {
      all.push_back(example_of(before, block));
      block.clear();
      before.clear();
    }
    if (line.empty()) {
      before = paragraph;
      paragraph.clear();
    } else {
      paragraph += line + "\n";
    }
  }
  return all;
}

// A sentence that the manual wraps, or the plan.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

class ManualTest : public ByHand {
 protected:
  void SetUp() override {
    admin_.exec(
        "DO $$ BEGIN CREATE ROLE reporting; EXCEPTION WHEN duplicate_object "
        "THEN END $$");
  }
};

TEST_F(ManualTest, EveryExampleDoesWhatItDoesByHand) {
  const std::vector<Example> all = examples();
  EXPECT_GE(all.size(), 12U);
  for (const Example& example : all) {
    SCOPED_TRACE(example.script);
    assume_immutable_ = example.assume_immutable;
    if (!example.planned) {
      same(example.setup, example.script);
    } else {
      make_tables("src", example.setup);
      try {
        EXPECT_FALSE(plan_of(example.script).targets.empty());
      } catch (const Error& error) {
        ADD_FAILURE() << error.what();
      }
    }
    clear();
  }
}

TEST_F(ManualTest, EveryStatementThatIsNotTakenIsRefusedWithItsWords) {
  int rows = 0;
  const std::string text = manual();
  for (const std::string& line :
       lines_of(text.substr(text.find("<!-- refused, each of them -->")))) {
    const auto statement = between(line, "| `", "` | ");
    if (!statement) continue;
    const auto words = between(line, "` | ", " |");
    ASSERT_TRUE(words) << line;
    ++rows;
    SCOPED_TRACE(line);
    try {
      script::Script::parse(*statement, "manual.sql");
      ADD_FAILURE() << "it is taken";
    } catch (const script::ScriptError& error) {
      EXPECT_THAT(one_line(error.problems().front().message),
                  testing::HasSubstr(*words));
    }
  }
  EXPECT_GE(rows, 10);
}

}  // namespace
}  // namespace pgrecast::plan
