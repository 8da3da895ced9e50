/* What every kernel returns; the one list of what can be wrong. */
#ifndef JC_RESULT_H
#define JC_RESULT_H

enum jc_result {
    JC_OK = 0,
    JC_BAD_ARGUMENT, /* caller: a parameter is outside its range */
    JC_BAD_SYMBOL,   /* a symbol does not fit in the width, or a value not in its type */
    JC_BAD_VALUE,    /* caller: a value to quantize is not finite */
    JC_SHORT_DST,    /* caller: the destination is too small */
    JC_TRUNCATED,    /* the input ends too early */
    JC_TRAILING,     /* the input goes on after its end */
    JC_BAD_MAGIC,    /* not a coded tensor */
    JC_BAD_VERSION,  /* not of a version that this decoder knows */
    JC_BAD_HEADER,   /* a field of the header is outside its range */
    JC_BAD_CHECKSUM, /* header or content differ from their checksum */
    JC_UNKNOWN_MODE, /* a block has no mode of this version, width and quantizer */
    JC_BAD_TABLE,    /* not the table of a complete code */
    JC_BAD_LENGTH,   /* the codes do not end where the payload ends */
    JC_BAD_PADDING,  /* a bit that carries nothing is not zero */
    JC_NO_TABLES,    /* the static tables that the tensor names were not given */
    JC_N_RESULTS,
};

#endif
