#include "core/registry.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

namespace {

const wall_time start{std::chrono::milliseconds(1'700'000'000'000)};
const model_key dream{model_kind::checkpoint, "dream"};

model_record fetched(std::string sha256 = "aa")
{
    model_record r;
    r.url = "https://files.test/dream";
    r.path = "/models/dream.safetensors";
    r.sha256 = std::move(sha256);
    r.size = 10;
    r.downloaded = start;
    return r;
}
model_record found(std::uint64_t size = 10)
{
    model_record r;
    r.path = "/models/dream.safetensors";
    r.size = size;
    r.downloaded = start + 1h;
    return r;
}

model_change came(model_record r)
{
    model_change c;
    c.came = std::move(r);
    return c;
}
model_change gone()
{
    model_change c;
    c.gone = true;
    return c;
}
model_change used(wall_time when, std::uint64_t times = 1)
{
    model_change c;
    c.uses = times;
    c.used = when;
    return c;
}
model_change pin(bool on)
{
    model_change c;
    c.pinned = on;
    return c;
}

struct shared_registry {
    model_registry kept;
    void happen(model_change c) { apply_changes(kept, {{dream, std::move(c)}}); }
    const model_record& record() const { return kept.at(dream); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(registry_, shared_registry)

BOOST_AUTO_TEST_CASE(a_fetched_file_is_ours_and_a_found_one_is_not_until_it_is_adopted)
{
    happen(came(found()));
    BOOST_TEST(!record().is_ours());
    model_change c;
    c.adopted = true;
    happen(c);
    BOOST_TEST(record().is_ours());

    kept.clear();
    happen(came(fetched()));
    BOOST_TEST(record().is_ours());
}

BOOST_AUTO_TEST_CASE(uses_of_several_gateways_add_up)
{
    happen(came(fetched()));
    happen(used(start + 2h, 3));
    happen(used(start + 1h, 2)); // told later, used earlier
    BOOST_TEST(record().uses == 5u);
    BOOST_TEST((record().last_used == start + 2h));
}

BOOST_AUTO_TEST_CASE(finding_a_file_again_changes_nothing_that_is_known_of_it)
{
    happen(came(fetched()));
    happen(used(start + 1min));
    happen(pin(true));
    const auto before = record();
    happen(came(found()));
    BOOST_TEST((record() == before));
}

BOOST_AUTO_TEST_CASE(another_size_means_that_the_hash_is_not_known_any_more)
{
    happen(came(fetched()));
    happen(came(found(11)));
    BOOST_TEST(record().sha256 == "");
    BOOST_TEST(record().size == 11u);
}

BOOST_AUTO_TEST_CASE(another_content_under_the_same_name_did_not_come_from_the_old_url)
{
    happen(came(fetched("aa")));
    auto other = found();
    other.sha256 = "bb";
    happen(came(other));
    BOOST_TEST(record().url == "");
    BOOST_TEST(record().sha256 == "bb");
}

BOOST_AUTO_TEST_CASE(what_is_told_of_a_file_that_somebody_else_deleted_is_dropped)
{
    happen(came(fetched()));
    happen(gone());
    BOOST_TEST(kept.empty());
    happen(used(start));
    happen(pin(true));
    BOOST_TEST(kept.empty());
}

BOOST_AUTO_TEST_CASE(a_file_that_comes_back_starts_anew)
{
    happen(came(fetched()));
    happen(used(start, 7));
    happen(gone());
    happen(came(fetched("cc")));
    BOOST_TEST(record().uses == 0u);
    BOOST_TEST(record().sha256 == "cc");
}

// Whatever happens, told one by one or in one go, comes to the same.
BOOST_AUTO_TEST_CASE(changes_can_be_added_up_before_they_are_applied)
{
    model_change adopted;
    adopted.adopted = true;
    model_change hashed;
    hashed.sha256 = "dd";
    const std::vector<model_change> all{came(found()),   used(start + 1h, 2), pin(true),  gone(),
                                        came(fetched()), used(start + 3h),    pin(false), adopted,
                                        hashed};
    for (std::size_t from = 0; from < all.size(); ++from) {
        for (std::size_t to = from; to < all.size(); ++to) {
            shared_registry one_by_one;
            one_by_one.happen(came(fetched("ee")));
            auto at_once = one_by_one;
            model_changes together;
            for (std::size_t i = from; i <= to; ++i) {
                one_by_one.happen(all[i]);
                add_change(together, dream, all[i]);
            }
            apply_changes(at_once.kept, together);
            BOOST_TEST_INFO(from << " to " << to);
            BOOST_TEST((one_by_one.kept == at_once.kept));
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
