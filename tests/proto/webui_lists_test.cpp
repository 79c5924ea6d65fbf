#include "proto/webui_lists.hpp"

#include "proto/golden.hpp"

using namespace gateway::proto;

BOOST_TEST_DONT_PRINT_LOG_VALUE(progress_phase)

namespace {

std::vector<checkpoint_entry> models()
{
    return parse_checkpoints(golden("webui/sd_models.json")).value();
}
std::vector<sampler_entry> samplers()
{
    return parse_samplers(golden("webui/samplers.json")).value();
}
std::vector<scheduler_entry> schedulers()
{
    return parse_schedulers(golden("webui/schedulers.json")).value();
}

progress_report progress(const std::string& which)
{
    return parse_progress(golden("webui/progress_" + which + ".json")).value();
}

} // namespace

BOOST_AUTO_TEST_SUITE(webui_lists_)

BOOST_AUTO_TEST_CASE(checkpoints_are_read_with_and_without_hash)
{
    const auto list = models();
    BOOST_REQUIRE(list.size() == 4U);
    BOOST_TEST(list[0].hash == "0123456789");
    BOOST_TEST(list[1].hash == "");
    BOOST_TEST(listed_name(list[0]) == "sub/Foo.safetensors");
    BOOST_TEST(listed_name(list[1]) == "Bar.ckpt");
}

BOOST_AUTO_TEST_CASE(a_bracket_that_is_no_hash_belongs_to_the_name)
{
    BOOST_TEST(listed_name({.title = "Foo [fixed].ckpt",
                            .model_name = "",
                            .hash = "",
                            .sha256 = "",
                            .filename = ""}) == "Foo [fixed].ckpt");
    BOOST_TEST(
        listed_name(
            {.title = "Foo [fixed]", .model_name = "", .hash = "", .sha256 = "", .filename = ""}) ==
        "Foo [fixed]");
    BOOST_TEST(listed_name({.title = "Foo.ckpt [7460a6fa]",
                            .model_name = "",
                            .hash = "",
                            .sha256 = "",
                            .filename = ""}) == "Foo.ckpt");
}

BOOST_AUTO_TEST_CASE(a_lora_is_listed_by_its_stem_with_its_path)
{
    const auto list = parse_loras(golden("webui/loras.json")).value();
    BOOST_TEST(list[0].name == "landscape");
    BOOST_TEST(list[0].path == "/sd/models/Lora/landscape.safetensors");
}

BOOST_AUTO_TEST_CASE(samplers_are_split_and_named_as_the_webui_names_them)
{
    struct {
        std::string_view sampler, scheduler, gives_sampler, gives_scheduler;
    } cases[] = {
        {"DPM++ 2M Karras", "", "DPM++ 2M", "karras"},
        {"dpm++ 2m karras", "", "DPM++ 2M", "karras"},
        {"DPM++ 2M SGM Uniform", "", "DPM++ 2M", "sgm_uniform"},
        {"DPM++ 2M", "Karras", "DPM++ 2M", "karras"},
        {"DPM++ 2M", "SGMUniform", "DPM++ 2M", "sgm_uniform"},
        {"euler A", "automatic", "Euler a", "automatic"},
        {"k_euler", "", "Euler", ""},
        {"", "karras", "", "karras"},
        {"", "", "", ""},
    };
    for (const auto& c : cases) {
        const auto choice = resolve_sampler(c.sampler, c.scheduler, samplers(), schedulers());
        BOOST_REQUIRE_MESSAGE(choice.has_value(), c.sampler);
        BOOST_TEST(choice->sampler == c.gives_sampler);
        BOOST_TEST(choice->scheduler == c.gives_scheduler);
    }
}

BOOST_AUTO_TEST_CASE(a_name_that_is_not_offered_is_refused_before_it_is_silently_replaced)
{
    const auto unknown = resolve_sampler("Eulr a", "", samplers(), schedulers());
    BOOST_REQUIRE(!unknown);
    BOOST_TEST((unknown.error().code == problem_code::unprocessable));
    BOOST_TEST(unknown.error().detail ==
               R"(the WebUI lists no sampler "Eulr a"; the nearest is "Euler a")");
    const auto scheduler = resolve_sampler("Euler", "fancy", samplers(), schedulers());
    BOOST_REQUIRE(!scheduler);
    BOOST_TEST(scheduler.error().detail.starts_with(
        R"(the WebUI lists no scheduler "fancy"; it has automatic)"));
}

BOOST_AUTO_TEST_CASE(lists_of_old_webuis_hold_the_suffix_in_the_name)
{
    const std::vector<sampler_entry> old{{"DPM++ 2M", {}}, {"DPM++ 2M Karras", {"k_dpmpp_2m_ka"}}};
    BOOST_TEST(resolve_sampler("DPM++ 2M Karras", "", old, {})->sampler == "DPM++ 2M Karras");
    const auto both = resolve_sampler("DPM++ 2M", "Karras", old, {});
    BOOST_TEST(both->sampler == "DPM++ 2M Karras");
    BOOST_TEST(both->scheduler == "");
}

BOOST_AUTO_TEST_CASE(without_lists_names_go_through_as_they_are)
{
    const auto choice = resolve_sampler("anything", "goes", {}, {});
    BOOST_TEST(choice->sampler == "anything");
    BOOST_TEST(choice->scheduler == "goes");
}

BOOST_AUTO_TEST_CASE(progress_tells_the_phase)
{
    BOOST_TEST(progress("idle").phase == progress_phase::queued);
    BOOST_TEST(progress("idle").idle());
    BOOST_TEST(progress("loading").phase == progress_phase::loading);
    BOOST_TEST(!progress("loading").idle());
    BOOST_TEST(progress("sampling").phase == progress_phase::sampling);
    BOOST_TEST(progress("sampling").progress == 0.51);
    BOOST_TEST(progress("sampling").eta_seconds == 2.4);
    BOOST_TEST(progress("sampling").step == 10);
    BOOST_TEST(progress("decoding").phase == progress_phase::decoding);
    BOOST_TEST(progress("decoding").job_timestamp == "20260823101501");
    BOOST_TEST(to_text(progress_phase::loading) == "loading");
}

BOOST_AUTO_TEST_CASE(absurd_progress_is_brought_into_range)
{
    const auto report = parse_progress(
        R"({"progress":7,"eta_relative":-3,"state":{"job":null,"job_count":1e99,"sampling_step":"x"}})");
    BOOST_REQUIRE(report);
    BOOST_TEST(report->progress == 1.0);
    BOOST_TEST(report->eta_seconds == 0.0);
    BOOST_TEST(report->step == 0);
    BOOST_TEST(!parse_progress("{}"));
}

BOOST_AUTO_TEST_CASE(options_flags_and_memory_are_read_without_secrets)
{
    const auto options = parse_options(
        R"({"sd_model_checkpoint":"a.ckpt","samples_format":"png","live_previews_enable":true})");
    BOOST_TEST(options->checkpoint == "a.ckpt");
    BOOST_TEST(options->live_previews.value());
    BOOST_TEST(!options->is_reforge);
    BOOST_TEST(parse_options(R"({"sd_model_checkpoint":null})")->checkpoint == "");

    const auto flags = parse_cmd_flags(golden("webui/cmd_flags.json"));
    BOOST_TEST(flags->lora_dir == "/workspace/models/loras");
    BOOST_TEST(flags->ckpt_dir == "");
    BOOST_TEST(flags->no_hashing);
    BOOST_TEST(flags->nowebui);

    const auto memory = parse_memory(golden("webui/memory.json"));
    BOOST_TEST(memory->ram_used.value() == 4'000'000'000U);
    BOOST_TEST(memory->cuda_total.value() == 8'000'000'000U);
    BOOST_TEST(memory->cuda_oom.value() == 3U);
    BOOST_TEST(!parse_memory(golden("webui/memory_without_cuda.json"))->cuda_used.has_value());
}

BOOST_AUTO_TEST_CASE(a_reply_of_another_shape_is_named)
{
    BOOST_TEST(parse_checkpoints(golden("replies/route_missing.json")).error().detail ==
               "sd-models: found an object; an array is wanted");
    BOOST_TEST(parse_loras("<html>").error().detail == "loras: not JSON: unexpected '<' at byte 0");
    BOOST_TEST(parse_options("[]").error().detail ==
               "options: found an array; an object is wanted");
    BOOST_TEST((parse_memory("").error().code == problem_code::bad_backend_reply));
    BOOST_TEST(parse_samplers(R"([1,{"name":null},{"name":"x"}])")->size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
