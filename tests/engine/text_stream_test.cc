#include "engine/text_stream.h"

#include <gtest/gtest.h>

namespace sigma {
namespace {

TEST(TextStream, HoldsBackWhatMayBecomeAStopString) {
  TextStream stream({"</end>", "STOP"});
  EXPECT_EQ(stream.push("a <"), "a ");
  EXPECT_EQ(stream.push("/en"), "");
  EXPECT_EQ(stream.push("try>"), "</entry>");
  EXPECT_EQ(stream.push("ST"), "");
  EXPECT_FALSE(stream.stopped());
  EXPECT_EQ(stream.push("OP and more"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.push("never"), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, CutsBeforeTheFirstOfSeveralStops) {
  TextStream stream({"bb", "abb"});
  EXPECT_EQ(stream.push("xabbc"), "x");
  EXPECT_TRUE(stream.stopped());
}

TEST(TextStream, FinishShowsWhatWasHeld) {
  TextStream stream({"###"});
  EXPECT_EQ(stream.push("done #"), "done ");
  EXPECT_EQ(stream.push("#"), "");
  EXPECT_EQ(stream.finish(), "##");
}

TEST(TextStream, ShowsWholeCharactersOnly) {
  TextStream stream({});
  EXPECT_EQ(stream.push("\xe2\x82"), "");
  EXPECT_EQ(stream.push("\xac!"), "\xe2\x82\xac!");
  EXPECT_EQ(stream.push("\xf0\x9f"), "");
  EXPECT_EQ(stream.finish(), "\xef\xbf\xbd");
}

TEST(TextStream, AStopStringMayComeWithTheRest) {
  TextStream stream({"\xef\xbf\xbd"});
  EXPECT_EQ(stream.push("a\xe2\x82"), "a");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, EmptyStopStringsNeverMatch) {
  TextStream stream({""});
  EXPECT_EQ(stream.push("text"), "text");
  EXPECT_FALSE(stream.stopped());
}

}  // namespace
}  // namespace sigma
