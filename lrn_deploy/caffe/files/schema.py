"""The part of ``caffe.proto`` that deployment needs: fields, numbers, kinds and defaults.

Written as ``number name kind =default``, one message a line; ``*`` marks a repeated field. Kinds
are ``int``, ``uint``, ``bool``, ``float``, ``double``, ``string``, ``blob`` (the bytes of a
BlobProto), an enum of :data:`ENUMS`, a message, or ``any`` for what has no effect on a trained
network or belongs to a layer that is not imported: its content is not looked at. Number 0: only the
text has it.
"""

from __future__ import annotations

from dataclasses import dataclass

_MESSAGES = """
NetParameter: 1 name string; 2 layers V1LayerParameter*; 3 input string*; 4 input_dim int*; \
 5 force_backward any; 6 state NetState; 7 debug_info any; 8 input_shape BlobShape*; \
 100 layer LayerParameter*
NetState: 1 phase Phase =TEST; 2 level int =0; 3 stage string*
NetStateRule: 1 phase Phase; 2 min_level int; 3 max_level int; 4 stage string*; 5 not_stage string*
BlobShape: 1 dim int*
LayerParameter: 1 name string; 2 type string; 3 bottom string*; 4 top string*; \
 5 loss_weight float*; 6 param any*; 7 blobs blob*; 8 include NetStateRule*; \
 9 exclude NetStateRule*; 10 phase Phase; \
 11 propagate_down any*; 100 transform_param TransformationParameter; 101 loss_param any; \
 102 accuracy_param any; 103 argmax_param ArgMaxParameter; 104 concat_param ConcatParameter; \
 105 contrastive_loss_param any; 106 convolution_param ConvolutionParameter; \
 107 data_param DataParameter; 108 dropout_param DropoutParameter; \
 109 dummy_data_param DummyDataParameter; 110 eltwise_param EltwiseParameter; \
 111 exp_param ExpParameter; 112 hdf5_data_param any; 113 hdf5_output_param any; \
 114 hinge_loss_param any; 115 image_data_param ImageDataParameter; 116 infogain_loss_param any; \
 117 inner_product_param InnerProductParameter; 118 lrn_param LRNParameter; \
 119 memory_data_param MemoryDataParameter; 120 mvn_param any; 121 pooling_param PoolingParameter; \
 122 power_param PowerParameter; 123 relu_param ReLUParameter; 124 sigmoid_param any; \
 125 softmax_param SoftmaxParameter; 126 slice_param SliceParameter; 127 tanh_param any; \
 128 threshold_param ThresholdParameter; 129 window_data_param DataParameter; \
 130 python_param any; 131 prelu_param PReLUParameter; 132 spp_param any; \
 133 reshape_param ReshapeParameter; \
 134 log_param LogParameter; 135 flatten_param FlattenParameter; \
 136 reduction_param ReductionParameter; 137 embed_param any; 138 tile_param TileParameter; \
 139 batch_norm_param BatchNormParameter; 140 elu_param ELUParameter; \
 141 bias_param BiasParameter; 142 scale_param ScaleParameter; \
 143 input_param InputParameter; 144 crop_param CropParameter; \
 145 parameter_param any; 146 recurrent_param any; 147 swish_param SwishParameter; \
 148 clip_param ClipParameter
V1LayerParameter: 1 layer V0LayerParameter; 2 bottom string*; 3 top string*; 4 name string; \
 5 type V1LayerType; 6 blobs blob*; 7 blobs_lr any*; 8 weight_decay any*; \
 9 concat_param ConcatParameter; 10 convolution_param ConvolutionParameter; \
 11 data_param DataParameter; 12 dropout_param DropoutParameter; 13 hdf5_data_param any; \
 14 hdf5_output_param any; 15 image_data_param ImageDataParameter; 16 infogain_loss_param any; \
 17 inner_product_param InnerProductParameter; 18 lrn_param LRNParameter; \
 19 pooling_param PoolingParameter; 20 window_data_param DataParameter; \
 21 power_param PowerParameter; 22 memory_data_param MemoryDataParameter; \
 23 argmax_param ArgMaxParameter; 24 eltwise_param EltwiseParameter; \
 25 threshold_param ThresholdParameter; 26 dummy_data_param DummyDataParameter; \
 27 accuracy_param any; 29 hinge_loss_param any; 30 relu_param ReLUParameter; \
 31 slice_param SliceParameter; 32 include NetStateRule*; 33 exclude NetStateRule*; \
 34 mvn_param any; 35 loss_weight float*; 36 transform_param TransformationParameter; \
 37 tanh_param any; 38 sigmoid_param any; 39 softmax_param SoftmaxParameter; \
 40 contrastive_loss_param any; 41 exp_param ExpParameter; 42 loss_param any; 1001 param any*; \
 1002 blob_share_mode any*
V0LayerParameter: 1 name string; 2 type string; 3 num_output uint; 4 biasterm bool =true; \
 5 weight_filler any; 6 bias_filler any; 7 pad uint =0; 8 kernelsize uint; 9 group uint =1; \
 10 stride uint =1; 11 pool PoolMethod =MAX; 12 dropout_ratio float =0.5; 13 local_size uint =5; \
 14 alpha float =1; 15 beta float =0.75; 16 source string; 17 scale float =1; 18 meanfile string; \
 19 batchsize any; 20 cropsize uint =0; 21 mirror any; 22 k float =1; 50 blobs blob*; \
 51 blobs_lr any*; 52 weight_decay any*; 53 rand_skip any; 54 det_fg_threshold any; \
 55 det_bg_threshold any; 56 det_fg_fraction any; 58 det_context_pad any; 59 det_crop_mode any; \
 60 new_num any; 61 new_channels any; 62 new_height uint =0; 63 new_width uint =0; \
 64 shuffle_images any; 65 concat_dim uint =1; 1001 hdf5_output_param any
TransformationParameter: 1 scale float =1; 2 mirror any; 3 crop_size uint =0; 4 mean_file string; \
 5 mean_value float*; 6 force_color bool =false; 7 force_gray bool =false
DataParameter: 1 source string; 2 scale float =1; 3 mean_file string; 4 batch_size any; \
 5 crop_size uint =0; 6 mirror any; 7 rand_skip any; 8 backend any; 9 force_encoded_color any; \
 10 prefetch any; 11 crop_mode any; 12 cache_images any; 13 root_folder any; 0 fg_threshold any; \
 0 bg_threshold any; 0 fg_fraction any; 0 context_pad any
ImageDataParameter: 1 source string; 2 scale float =1; 3 mean_file string; 4 batch_size any; \
 5 crop_size uint =0; 6 mirror any; 7 rand_skip any; 8 shuffle any; 9 new_height uint =0; \
 10 new_width uint =0; 11 is_color bool =true; 12 root_folder any
MemoryDataParameter: 1 batch_size int; 2 channels int; 3 height int; 4 width int
DummyDataParameter: 1 data_filler any*; 2 num int*; 3 channels int*; 4 height int*; 5 width int*; \
 6 shape BlobShape*
InputParameter: 1 shape BlobShape*
ArgMaxParameter: 1 out_max_val bool =false; 2 top_k uint =1; 3 axis int
BatchNormParameter: 1 use_global_stats bool; 2 moving_average_fraction any; 3 eps float =1e-5
BiasParameter: 1 axis int =1; 2 num_axes int =1; 3 filler any
ClipParameter: 1 min float; 2 max float
ConcatParameter: 1 concat_dim uint =1; 2 axis int =1
ConvolutionParameter: 1 num_output uint; 2 bias_term bool =true; 3 pad uint*; 4 kernel_size uint*; \
 5 group uint =1; 6 stride uint*; 7 weight_filler any; 8 bias_filler any; 9 pad_h uint =0; \
 10 pad_w uint =0; 11 kernel_h uint; 12 kernel_w uint; 13 stride_h uint; 14 stride_w uint; \
 15 engine any; 16 axis int =1; 17 force_nd_im2col any; 18 dilation uint*
CropParameter: 1 axis int =2; 2 offset uint*
DropoutParameter: 1 dropout_ratio float =0.5
EltwiseParameter: 1 operation EltwiseOp =SUM; 2 coeff float*; 3 stable_prod_grad any
ELUParameter: 1 alpha float =1
ExpParameter: 1 base float =-1; 2 scale float =1; 3 shift float =0
FlattenParameter: 1 axis int =1; 2 end_axis int =-1
InnerProductParameter: 1 num_output uint; 2 bias_term bool =true; 3 weight_filler any; \
 4 bias_filler any; 5 axis int =1; 6 transpose bool =false
LogParameter: 1 base float =-1; 2 scale float =1; 3 shift float =0
LRNParameter: 1 local_size uint =5; 2 alpha float =1; 3 beta float =0.75; \
 4 norm_region NormRegion =ACROSS_CHANNELS; 5 k float =1; 6 engine any
PoolingParameter: 1 pool PoolMethod =MAX; 2 kernel_size uint; 3 stride uint =1; 4 pad uint =0; \
 5 kernel_h uint; 6 kernel_w uint; 7 stride_h uint; 8 stride_w uint; 9 pad_h uint =0; \
 10 pad_w uint =0; 11 engine any; 12 global_pooling bool =false; 0 round_mode RoundMode =CEIL; \
 0 ceil_mode bool =true
PowerParameter: 1 power float =1; 2 scale float =1; 3 shift float =0
PReLUParameter: 1 filler any; 2 channel_shared bool =false
ReductionParameter: 1 operation ReductionOp =SUM; 2 axis int =0; 3 coeff float =1
ReLUParameter: 1 negative_slope float =0; 2 engine any
ReshapeParameter: 1 shape BlobShape; 2 axis int =0; 3 num_axes int =-1
ScaleParameter: 1 axis int =1; 2 num_axes int =1; 3 filler any; 4 bias_term bool =false; \
 5 bias_filler any
SliceParameter: 1 slice_dim uint =1; 2 slice_point uint*; 3 axis int =1
SoftmaxParameter: 1 engine any; 2 axis int =1
SwishParameter: 1 beta float =1
ThresholdParameter: 1 threshold float =0
TileParameter: 1 axis int =1; 2 tiles int
"""

ENUMS: dict[str, dict[str, int]] = {
    "Phase": {"TRAIN": 0, "TEST": 1},
    "NormRegion": {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1},
    "PoolMethod": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "RoundMode": {"CEIL": 0, "FLOOR": 1},
    "EltwiseOp": {"PROD": 0, "SUM": 1, "MAX": 2},
    "ReductionOp": {"SUM": 1, "ASUM": 2, "SUMSQ": 3, "MEAN": 4},
    "V1LayerType": {
        "NONE": 0, "ACCURACY": 1, "BNLL": 2, "CONCAT": 3, "CONVOLUTION": 4, "DATA": 5, "DROPOUT": 6,
        "EUCLIDEAN_LOSS": 7, "FLATTEN": 8, "HDF5_DATA": 9, "HDF5_OUTPUT": 10, "IM2COL": 11,
        "IMAGE_DATA": 12, "INFOGAIN_LOSS": 13, "INNER_PRODUCT": 14, "LRN": 15,
        "MULTINOMIAL_LOGISTIC_LOSS": 16, "POOLING": 17, "RELU": 18, "SIGMOID": 19, "SOFTMAX": 20,
        "SOFTMAX_LOSS": 21, "SPLIT": 22, "TANH": 23, "WINDOW_DATA": 24, "ELTWISE": 25, "POWER": 26,
        "SIGMOID_CROSS_ENTROPY_LOSS": 27, "HINGE_LOSS": 28, "MEMORY_DATA": 29, "ARGMAX": 30,
        "THRESHOLD": 31, "DUMMY_DATA": 32, "SLICE": 33, "MVN": 34, "ABSVAL": 35, "SILENCE": 36,
        "CONTRASTIVE_LOSS": 37, "EXP": 38, "DECONVOLUTION": 39,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field of a message: its default is text, read as the text format reads it."""

    number: int
    name: str
    kind: str
    repeated: bool
    default: str | None


def _field(text: str) -> Field:
    declared, _, default = text.partition("=")
    number, name, kind = declared.split()
    return Field(int(number), name, kind.rstrip("*"), kind.endswith("*"), default or None)


def _messages() -> dict[str, dict[str, Field]]:
    messages = {}
    for line in _MESSAGES.strip().splitlines():
        message, _, declared = line.partition(":")
        fields = map(_field, declared.split(";"))
        messages[message] = {field.name: field for field in fields}
    return messages


MESSAGES: dict[str, dict[str, Field]] = _messages()
"""The fields of each message by their names."""

NUMBERED: dict[str, dict[int, Field]] = {
    message: {field.number: field for field in fields.values() if field.number}
    for message, fields in MESSAGES.items()
}
"""The fields of each message by their numbers."""
