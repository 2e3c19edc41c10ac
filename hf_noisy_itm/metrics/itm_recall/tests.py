"""Cases with figures worked out by hand, in the form that Spaces of `evaluate` use."""

test_cases = [
    {
        # Each picture is as its captions are.
        "image_embeds": [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
        "text_embeds": [[2.0, 0.0], [0.5, 0.0], [0.0, 3.0]],
        "image_id": [7, 7, 8],
        "ks": [1, 2],
        "result": {
            "i2t_r@1": 100.0,
            "i2t_r@2": 100.0,
            "t2i_r@1": 100.0,
            "t2i_r@2": 100.0,
            "rsum": 400.0,
            "mean_r@1": 100.0,
            "i2t_median_rank": 1.0,
            "i2t_mean_rank": 1.0,
            "t2i_median_rank": 1.0,
            "t2i_mean_rank": 1.0,
        },
    },
    {
        # Cosines    caption a   b    c      a and c are of picture 5, b of picture 2.
        # picture 2       0.8    0.6  1      best own 0.6, below both rivals: rank 3
        # picture 5       0.6    0.8  0      best own 0.6, below b: rank 2
        # Every caption prefers the other picture: rank 2.
        "image_embeds": [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
        "text_embeds": [[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]],
        "image_id": [5, 2, 5],
        "ks": [1, 2],
        "result": {
            "i2t_r@1": 0.0,
            "i2t_r@2": 50.0,
            "t2i_r@1": 0.0,
            "t2i_r@2": 100.0,
            "rsum": 150.0,
            "mean_r@1": 0.0,
            "i2t_median_rank": 2.5,
            "i2t_mean_rank": 2.5,
            "t2i_median_rank": 2.0,
            "t2i_mean_rank": 2.0,
        },
    },
    {
        # A model that answers every question alike finds nothing: ties count against it.
        "image_embeds": [[1.0, 1.0], [1.0, 1.0]],
        "text_embeds": [[1.0, 2.0], [1.0, 2.0]],
        "image_id": [0, 1],
        "ks": [1],
        "result": {
            "i2t_r@1": 0.0,
            "t2i_r@1": 0.0,
            "rsum": 0.0,
            "mean_r@1": 0.0,
            "i2t_median_rank": 2.0,
            "i2t_mean_rank": 2.0,
            "t2i_median_rank": 2.0,
            "t2i_mean_rank": 2.0,
        },
    },
]
