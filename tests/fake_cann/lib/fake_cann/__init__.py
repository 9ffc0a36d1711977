"""A strict stand-in for Huawei's CANN: the module `acl` (pyACL) and the program `atc`.

Written from the documents, not from any program that uses them. Their short names here:

B    pyACL's C++ binding, hicann/runtime 134e2edb, `python/pyACL`
R    C API manual, hicann/runtime `docs/zh/api_ref` (chapter number given)
RS   C sources of the same, `src/acl`, `src/runtime`
G    hicann/ge `docs/zh/api/graph_engine_api`, `docs/zh/user_guides/atc_tools`, `error_codes`
GS   C++ sources of the same, `api/acl`, `runtime/v1`, `api/atc`
H    hiascend.com's pyACL manual (page aclpythondevg_01_NNNN)
SA   Ascend/samples, `python/common/acllite`
policy   undefined or undocumented there; refused here, because a fake may be stricter

What is enforced, by number (each has a test `test_behaviour_NN_...` beside this folder):

Calling (B, calls.py and surface.py)
 1 keywords, wrong number or type of arguments raise TypeError
 2 there are no constants and no functions but the documented: AttributeError
36 `acl.get_soc_name()` that fails returns None, neither a tuple nor an exception
37 without the toolkit `import acl` raises ModuleNotFoundError; without its library, ImportError

Order (R 02, 04, 05, 06; H 0004; RS; top.py, rt_device.py)
 3 init twice: 100002, and it stays initialised      4 finalize twice: 100037; leaks are listed
 5 before init: 100001, and 145001 from acl.mdl      6 set_device of an id out of range: 107001
 7 no device or context: 107002                      8 reset_device without its set: 507007
 9 a stream of another context: 107003              10 a destroyed stream or event: 107017
11 null stream to destroy, null event: 100000       12 default context, or one twice: 107002

Memory (R 11; H 0055; memory.py, rt_memory.py, util.py)
13 malloc(0), free(0): 100000                       14 double, foreign, interior free: 107000
15 malloc beyond what is free: 207001               16 memcpy count > dst_max: 107000
17 memcpy of null or of an unknown kind: 100000     18 beyond the block, or against kind: 107000
19 pointers into device memory or into collected bytes are not followed

Models (G aclmdl*; GS; mdl_model.py, mdl_data.py, mdl_run.py)
20 load before init, of no file, of garbage: 145001, 145002, 145006
21 unknown or unloaded model: 145003                22 another context than its own: 107004
23 null dataset or buffer: 100000; their number wrong: 145000
24 buffer smaller by more than 64 bytes: 145000; larger is accepted
25 host or freed pointers in a buffer: 507015       26 outputs appear at synchronisation only
27 dims of a bad index: ({}, 100000)                28 sizes and buffers of a bad index: 0
29 add_dataset_buffer returns (dataset, ret)        30 destroy_dataset frees nothing in it

Time (R 07; RS event.cc; clock.py, rt_event.py)
31 elapsed time of unrecorded (507000), incomplete (107006), null (100000), swapped events (< 0)
32 of events on different streams: a violation      33 without the TIME_LINE flag: 107006
34 time-outs: 507046, 507047; below -1: 107000      35 injected faults (faults.py)
39 execute_async returns before the work ends, on a virtual clock

ATC (G atc_tools, GS api/atc; atc.py, atc_flags.py)
38 codes on stdout and status 255; PREFIX.om or PREFIX_linux_aarch64.om; kernel_meta; hanging

README.md beside this folder says how to switch it on and how to steer it.
"""
