/* qblock_dequant and qblock_matmul for gfx1151: the same text as for sm_61, with v_dot4 for dp4a, v_cvt_f32_ubyte for bytes and
 * v_alignbit for the joined words. Only these: blackframe check qblock_dequant qblock_matmul --backend simt-hip */
/* isa: qblock_int8_q6k_n1 unit=weight per_trip=64 share=v_dot4:8 max=3.7 */
/* isa: qblock_int8_q6k_n2 unit=weight per_trip=64 share=v_dot4:13 max=4.6 */
/* isa: qblock_int8_q6k_n4 unit=weight per_trip=64 share=v_dot4:20 max=6.4 */
/* isa: qblock_int8_q6k_n8 unit=weight per_trip=64 share=v_dot4:25 max=9.6 */
/* isa: qblock_int8_q80_n1 unit=weight per_trip=32 gate=dot cols=1 max=2.9 */
/* isa: qblock_int8_q80_n2 unit=weight per_trip=32 gate=dot cols=2 max=3.7 */
/* isa: qblock_int8_q80_n4 unit=weight per_trip=16 gate=dot cols=4 max=5.9 */
/* isa: qblock_int8_q80_n8 unit=weight per_trip=16 gate=dot cols=8 max=8.9 */
/* isa: qblock_fp32_q6k_n1 unit=weight per_trip=64 max=7.2 */
/* isa: qblock_fp32_q6k_n2 unit=weight per_trip=64 max=8.4 */
/* isa: qblock_fp32_q6k_n4 unit=weight per_trip=64 max=10.8 */
/* isa: qblock_fp32_q6k_n8 unit=weight per_trip=64 max=15.9 */
/* isa: qblock_fp32_q80_n1 unit=weight per_trip=32 max=6.3 */
/* isa: qblock_fp32_q80_n2 unit=weight per_trip=32 max=7.6 */
/* isa: qblock_fp32_q80_n4 unit=weight per_trip=16 max=10.1 */
/* isa: qblock_fp32_q80_n8 unit=weight per_trip=16 max=15.2 */
/* isa: qblock_dequant_q6k_f32 unit=weight per_trip=16 max=11.2 */
/* isa: qblock_dequant_q6k_f16 unit=weight per_trip=16 max=13.2 */
/* isa: qblock_dequant_q6k_bf16 unit=weight per_trip=16 max=19.1 */
/* isa: qblock_dequant_q80_f32 unit=weight per_trip=4 max=13 */
/* isa: qblock_dequant_q80_f16 unit=weight per_trip=4 max=15.3 */
/* isa: qblock_dequant_q80_bf16 unit=weight per_trip=4 max=20.4 */
/* isa: qblock_int8_mxfp4_n1 unit=weight per_trip=32 share=v_dot4:7 max=4.5 */
/* isa: qblock_int8_mxfp4_n2 unit=weight per_trip=32 share=v_dot4:13 max=5.2 */
/* isa: qblock_int8_mxfp4_n4 unit=weight per_trip=32 share=v_dot4:21 max=6.6 */
/* isa: qblock_int8_mxfp4_n8 unit=weight per_trip=32 share=v_dot4:30 max=9.2 */
/* isa: qblock_fp32_mxfp4_n1 unit=weight per_trip=32 max=7.9 */
/* isa: qblock_fp32_mxfp4_n2 unit=weight per_trip=32 max=8.9 */
/* isa: qblock_fp32_mxfp4_n4 unit=weight per_trip=32 max=10.6 */
/* isa: qblock_fp32_mxfp4_n8 unit=weight per_trip=32 max=16.5 */
/* isa: qblock_dequant_mxfp4_f32 unit=weight per_trip=8 max=11.4 */
/* isa: qblock_dequant_mxfp4_f16 unit=weight per_trip=8 max=13.9 */
/* isa: qblock_dequant_mxfp4_bf16 unit=weight per_trip=8 max=18.4 */
#include "../cuda/qblock.cu"
