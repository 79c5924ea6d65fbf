#include "core/catalog.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::model_resolution::kind)

namespace {

constexpr steady_time start{std::chrono::hours(1)};
using kind = model_resolution::kind;

const std::string sha_a = "aaaaaaaaaa" + std::string(54, '1');
const std::string sha_b = "bbbbbbbbbb" + std::string(54, '2');

// As a WebUI lists the file models/Stable-diffusion/<path>.
catalog_checkpoint checkpoint(const std::string& path, const std::string& sha = "")
{
    std::string model_name = path.substr(0, path.rfind('.'));
    for (char& c : model_name)
        if (c == '/')
            c = '_';
    return {.title = sha.empty() ? path : path + " [" + sha.substr(0, 10) + "]",
            .model_name = model_name,
            .name = "",
            .hash = sha.substr(0, 10),
            .sha256 = sha,
            .filename = "/models/" + path};
}

model_ref wants(const std::string& name, const std::string& sha = "",
                model_kind of = model_kind::checkpoint)
{
    return {of, name, "", sha};
}

catalog with(std::vector<catalog_checkpoint> list)
{
    catalog c;
    c.begin(1);
    c.read_checkpoints(std::move(list), start);
    return c;
}

} // namespace

BOOST_AUTO_TEST_SUITE(catalog_)

BOOST_AUTO_TEST_CASE(a_checkpoint_is_found_under_each_of_its_names)
{
    const catalog c = with({checkpoint("sub/Foo.safetensors", sha_a), checkpoint("Bar.ckpt")});
    for (const char* name : {"sub/Foo.safetensors [aaaaaaaaaa]", "sub/Foo.safetensors", "sub_Foo",
                             "sub/Foo", "Foo", "Foo.safetensors"}) {
        const auto r = c.resolve(wants(name));
        BOOST_TEST_INFO(name);
        BOOST_TEST(r.result == kind::found);
        BOOST_TEST(r.send == "sub/Foo.safetensors");
    }
    BOOST_TEST(c.resolve(wants("other", sha_a)).send == "sub/Foo.safetensors");
    BOOST_TEST(c.resolve(wants("other", sha_a.substr(0, 12))).send == "sub/Foo.safetensors");
}

BOOST_AUTO_TEST_CASE(an_unknown_checkpoint_is_missing_and_named)
{
    const catalog c = with({checkpoint("Foo.safetensors")});
    for (const char* name : {"foo", "Fo", "Foo2", "sub/Foo", ""}) {
        const auto r = c.resolve(wants(name));
        BOOST_TEST_INFO(name);
        BOOST_TEST(r.result == kind::missing);
        BOOST_TEST(r.reason.find("checkpoint '" + std::string(name) + "'") != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(the_same_file_name_in_two_folders_is_ambiguous)
{
    const catalog c =
        with({checkpoint("a/Foo.safetensors", sha_a), checkpoint("b/Foo.safetensors", sha_b)});

    const auto r = c.resolve(wants("Foo"));
    BOOST_TEST(r.result == kind::ambiguous);
    BOOST_TEST(r.reason.find("a/Foo.safetensors, b/Foo.safetensors") != std::string::npos);

    BOOST_TEST(c.resolve(wants("b/Foo")).send == "b/Foo.safetensors");
    BOOST_TEST(c.resolve(wants("Foo", sha_b)).send == "b/Foo.safetensors");
}

BOOST_AUTO_TEST_CASE(the_folder_of_models_itself_wins_over_a_folder_in_it)
{
    const catalog c = with({checkpoint("Foo.safetensors"), checkpoint("b/Foo.safetensors")});
    BOOST_TEST(c.resolve(wants("Foo")).send == "Foo.safetensors");
}

BOOST_AUTO_TEST_CASE(another_file_of_the_same_name_is_not_the_one_asked_for)
{
    const catalog c = with({checkpoint("Foo.safetensors", sha_b)});
    const auto r = c.resolve(wants("Foo", sha_a));
    BOOST_TEST(r.result == kind::missing);
    BOOST_TEST(r.reason.find("another file") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_hash_that_only_one_side_knows_does_not_matter)
{
    BOOST_TEST(with({checkpoint("Foo.safetensors")}).has_all({wants("Foo", sha_a)}));
    BOOST_TEST(with({checkpoint("Foo.safetensors", sha_a)}).has_all({wants("Foo")}));

    auto old = checkpoint("Foo.safetensors");
    old.hash = "e3b0c442"; // of the old kind: says nothing about the sha256
    BOOST_TEST(with({old}).has_all({wants("Foo", sha_a)}));
}

BOOST_AUTO_TEST_CASE(the_ten_digits_of_a_title_are_compared_where_the_sha256_is_not_listed)
{
    auto listed = checkpoint("Foo.safetensors", sha_b);
    listed.sha256.clear();
    BOOST_TEST(with({listed}).has_all({wants("Foo", sha_b)}));
    BOOST_TEST(!with({listed}).has_all({wants("Foo", sha_a)}));
}

BOOST_AUTO_TEST_CASE(one_short_reading_does_not_make_a_model_gone)
{
    catalog c = with({checkpoint("Foo.safetensors"), checkpoint("Bar.safetensors")});
    const auto version = c.version();

    c.read_checkpoints({}, start + 1s);
    c.read_checkpoints({checkpoint("Bar.safetensors")}, start + 1s);
    BOOST_TEST(c.has_all({wants("Foo"), wants("Bar")}));
    c.read_checkpoints({checkpoint("Foo.safetensors"), checkpoint("Bar.safetensors")}, start + 2s);
    BOOST_TEST(c.version() == version);
}

BOOST_AUTO_TEST_CASE(a_model_is_gone_after_three_readings_over_two_seconds)
{
    catalog c = with({checkpoint("Foo.safetensors")});
    c.read_checkpoints({}, start + 10s);
    c.read_checkpoints({}, start + 10s);
    c.read_checkpoints({}, start + 11s);
    BOOST_TEST(c.has_all({wants("Foo")}));

    c.read_checkpoints({}, start + 12s);
    BOOST_TEST(!c.has_all({wants("Foo")}));
    BOOST_TEST(c.checkpoints().empty());
}

BOOST_AUTO_TEST_CASE(readings_without_a_model_must_follow_each_other)
{
    catalog c = with({checkpoint("Foo.safetensors")});
    for (int i = 0; i < 10; ++i) {
        c.read_checkpoints({}, start + i * 10s);
        c.read_checkpoints({}, start + i * 10s + 3s);
        c.read_checkpoints({checkpoint("Foo.safetensors")}, start + i * 10s + 4s);
    }
    BOOST_TEST(c.has_all({wants("Foo")}));
}

BOOST_AUTO_TEST_CASE(a_title_that_gets_its_hash_is_still_the_same_model)
{
    catalog c = with({checkpoint("Foo.safetensors")});
    c.read_checkpoints({checkpoint("Foo.safetensors", sha_a)}, start + 1s);

    BOOST_TEST(c.checkpoints().size() == 1u);
    BOOST_TEST(c.has_all({wants("other name", sha_a)}));
}

BOOST_AUTO_TEST_CASE(loras_go_by_stem_or_by_an_alias_of_their_own)
{
    catalog c;
    c.read_loras({{"ink", "Ink Wash", "/l/ink.safetensors"},
                  {"oil", "Paint", "/l/oil.safetensors"},
                  {"tempera", "Paint", "/l/tempera.safetensors"}},
                 start);
    const auto lora = [](const char* name) { return wants(name, "", model_kind::lora); };

    BOOST_TEST(c.resolve(lora("ink")).send == "ink");
    BOOST_TEST(c.resolve(lora("Ink Wash")).send == "ink");
    BOOST_TEST(c.resolve(lora("Paint")).result == kind::ambiguous);
    BOOST_TEST(c.resolve(lora("Ink")).result == kind::missing);
    BOOST_TEST(c.loras().size() == 3u);
}

BOOST_AUTO_TEST_CASE(vaes_and_embeddings_go_by_file_name)
{
    catalog c;
    c.read_vaes({"clear.safetensors", "warm.pt", "warm.safetensors"}, start);
    c.read_embeddings({"bad-hands"}, start);

    BOOST_TEST(c.resolve(wants("clear", "", model_kind::vae)).send == "clear.safetensors");
    BOOST_TEST(c.resolve(wants("warm", "", model_kind::vae)).result == kind::ambiguous);
    BOOST_TEST(c.resolve(wants("warm.pt", "", model_kind::vae)).result == kind::found);
    BOOST_TEST(c.resolve(wants("bad-hands", "", model_kind::embedding)).result == kind::found);
    BOOST_TEST(c.resolve(wants("good-hands", "", model_kind::embedding)).result == kind::missing);
}

BOOST_AUTO_TEST_CASE(a_set_is_offered_when_each_of_its_files_is)
{
    catalog c = with({checkpoint("Foo.safetensors")});
    model_sets sets;
    const model_ref ink = wants("ink", "", model_kind::lora);
    const set_id both = sets.intern({wants("Foo"), ink});

    BOOST_TEST(c.has_all(no_models, sets));
    BOOST_TEST(!c.has_all(both, sets));
    BOOST_REQUIRE(c.missing(sets.at(both)).size() == 1u);
    BOOST_TEST(c.missing(sets.at(both))[0].find("lora 'ink'") != std::string::npos);

    c.read_loras({{"ink", "", ""}}, start);
    BOOST_TEST(c.has_all(both, sets)); // the remembered answer is void
    BOOST_TEST(c.missing(sets.at(both)).empty());
}

BOOST_AUTO_TEST_CASE(a_new_epoch_knows_nothing_of_the_old_one)
{
    catalog c = with({checkpoint("Foo.safetensors")});
    c.set_samplers({"Euler"});
    c.set_schedulers({"karras"});
    c.set_dialect("forge");
    c.begin(1);
    BOOST_TEST(c.has_all({wants("Foo")}));

    c.begin(2);

    BOOST_TEST(c.epoch() == 2u);
    BOOST_TEST(!c.has_all({wants("Foo")}));
    BOOST_TEST(c.samplers().empty());
    BOOST_TEST(c.schedulers().empty());
    BOOST_TEST(c.dialect() == "");
}

BOOST_AUTO_TEST_SUITE_END()
